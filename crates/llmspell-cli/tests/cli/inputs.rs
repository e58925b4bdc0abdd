//! Records from CSV, from files, and from part of the input.

use crate::program::{Folder, lines};

/// A flow that outputs the whole record.
const ECHO: &str = "flow: f\nsteps: [{ id: a, tool: json, with: { value: \"${{ inputs }}\" } }]\n";

#[tokio::test]
async fn an_invalid_csv_row_fails_alone() {
    let csv = "id,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n2\r\n3,\r\n";
    let folder = Folder::new().with("f.yaml", ECHO).with("in.csv", csv).with("in.dat", "id\ttext\n1\tx,y\n");
    let ended = folder.run(&["run", "f.yaml", "-i", "in.csv"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let out = lines(&ended.out);
    assert_eq!(out[0]["output"], serde_json::json!({ "id": "1", "text": "a, \"b\"\nc" }));
    assert_eq!(out[1]["error"]["message"], "line 4 has 1 value, but the header names 2");
    assert_eq!((&out[2]["line"], &out[2]["output"]["text"]), (&5.into(), &"".into()));
    let ended = folder.run(&["run", "f.yaml", "-i", "in.dat", "--format", "tsv", "-q"]).await;
    assert_eq!(lines(&ended.out)[0]["output"]["text"], "x,y");
    let mut command = folder.command(&["run", "f.yaml", "-i", "-", "--format", "csv"]);
    command.stdin(std::fs::File::open(folder.path("in.csv")).unwrap());
    assert_eq!(lines(&crate::program::wait(command.spawn().unwrap()).await.out).len(), 3);
}

#[tokio::test]
async fn values_of_csv_have_the_types_that_the_flow_declares() {
    let inputs = "inputs: { n: { type: integer }, on: { type: boolean, default: false }, zip: { type: string } }\n";
    let folder = Folder::new().with("f.yaml", format!("{inputs}{ECHO}"));
    let folder = folder.with("in.csv", "n,on,zip\n1,true,01\n2,,02\nx,,03\n");
    let out = lines(&folder.run(&["run", "f.yaml", "-i", "in.csv"]).await.out);
    assert_eq!(out[0]["output"], serde_json::json!({ "n": 1, "on": true, "zip": "01" }));
    assert_eq!(out[1]["output"]["on"], false);
    assert!(out[2]["error"]["message"].as_str().unwrap().contains("`n` is not an integer"), "{}", out[2]);
}

#[tokio::test]
async fn an_invalid_header_ends_with_exit_code_2() {
    let folder = Folder::new().with("f.yaml", ECHO).with("in.csv", "a,a\n1,2\n");
    let ended = folder.run(&["run", "f.yaml", "-i", "in.csv"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("two columns are called `a`"), "{}", ended.err);
    assert!(ended.err.contains("\nhint: give each column a unique name\n"), "{}", ended.err);
}

#[tokio::test]
async fn files_are_records_and_their_text_is_read_on_demand() {
    let folder = Folder::new().with("f.yaml", ECHO).with("a.md", "# A\n").with("b.md", b"\xFF").with("c.txt", "");
    let ended = folder.run(&["run", "f.yaml", "--files", "*.md", "c.txt", "-o", "out.md"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let out = lines(&folder.read("out.md"));
    assert_eq!(out.len(), 3);
    let first = &out[0]["output"];
    assert_eq!((&first["path"], &first["name"], &first["extension"]), (&"a.md".into(), &"a.md".into(), &"md".into()));
    assert_eq!((&first["bytes"], &first["text"]), (&4.into(), &"# A\n".into()));
    assert_eq!(out[1]["error"]["message"], "b.md is not UTF-8, from byte 1 on");
    let folder = folder.with("names.yaml", format!("inputs: {{ name: {{ type: string }} }}\n{ECHO}"));
    let ended = folder.run(&["run", "names.yaml", "--files", "b.*", "-q"]).await;
    assert_eq!(lines(&ended.out)[0]["output"]["name"], "b.md");
    // Its own output is not among the files, although it exists while they are listed.
    let ended = folder.run(&["run", "names.yaml", "--files", "*", "-o", "out.md", "--force"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let names: Vec<_> = lines(&folder.read("out.md")).iter().map(|line| line["output"]["name"].clone()).collect();
    assert_eq!(names, ["a.md", "b.md", "c.txt", "f.yaml", "names.yaml"]);
}

#[tokio::test]
async fn a_sample_is_repeatable_and_fields_can_be_set() {
    let records: String = (0..100).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let folder = Folder::new().with("f.yaml", ECHO).with("in.jsonl", records);
    let args = ["run", "f.yaml", "-i", "in.jsonl", "--sample", "5", "-q", "--set", "lang=en", "--set", "k=[1]"];
    let out = lines(&folder.run(&args).await.out);
    assert_eq!(out.len(), 5);
    assert!(out.iter().map(|line| line["line"].as_u64().unwrap()).is_sorted());
    assert!(out.iter().all(|line| line["output"]["lang"] == "en" && line["output"]["k"][0] == 1));
    let again = lines(&folder.run(&args).await.out);
    assert!(out.iter().zip(&again).all(|(one, other)| one["output"] == other["output"]));
}

/// Asserts a refusal with exit code 2 that leaves neither an output nor a journal.
async fn refused(folder: &Folder, args: &[&str], message: &str, hint: &str) {
    let ended = folder.run(&[&["run", "f.yaml", "-o", "out.jsonl"], args].concat()).await;
    assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
    assert!(ended.err.contains(message), "{args:?}: {}", ended.err);
    assert!(
        ended.err.lines().last().is_some_and(|last| last.starts_with("hint: ") && last.contains(hint)),
        "{}",
        ended.err
    );
    assert_eq!(ended.err.matches("error: ").count(), 1, "{}", ended.err);
    assert!(!folder.path("out.jsonl.partial").exists() && !folder.path(".llmspell").exists(), "{args:?}");
}

#[tokio::test]
async fn an_input_that_does_not_fit_the_flow_is_refused_before_any_work() {
    let flow = format!("inputs: {{ question: {{ type: string }}, lang: {{ default: en }} }}\n{ECHO}");
    let folder = Folder::new()
        .with("f.yaml", flow)
        .with("other.csv", "id,qestion\n1,x\n2,y\n")
        .with("twice.csv", "question,id,question\n1,2,3\n")
        .with("semi.csv", "question;id\nx;1\n")
        .with("tabs.csv", "question\tid\nx\t1\n")
        .with("commas.tsv", "question,id\nx,1\n")
        .with("json.csv", "{\"question\": 1}\n")
        .with("utf16.csv", b"\xFF\xFEq\x00\n\x00".as_slice())
        .with("array.json", "\n[\n  {\"question\": \"x\"}\n]\n")
        .with("flat.json", "[{\"question\": \"x\"}]\n")
        .with("pretty.json", "{\n  \"question\": \"x\"\n}\n")
        .with("a.md", "x");
    for (input, message, hint) in [
        ("other.csv", "other.csv has no column `question`, which the flow requires", "did you mean `qestion`?"),
        ("twice.csv", "two columns are called `question`, 1 and 3", "a unique name"),
        ("semi.csv", "a single column, `question;id`: its values seem to be separated by semicolons", "--format tsv"),
        ("tabs.csv", "separated by tabs", "--format tsv"),
        ("commas.tsv", "separated by commas", "--format csv"),
        ("json.csv", "begins like JSON", "--format jsonl"),
        ("utf16.csv", "is not UTF-8", "write the file as UTF-8"),
        ("array.json", "array.json is a JSON array", "jq -c '.[]'"),
        ("flat.json", "flat.json is a JSON array", "jq -c '.[]'"),
        ("pretty.json", "JSON that spans several lines", "jq -c ."),
    ] {
        refused(&folder, &["-i", input], message, hint).await;
    }
    refused(&folder, &["--files", "*.md"], "the list of files has no field `question`", "the fields of files are")
        .await;
    // A field that is set may be absent. For a pipe, the same error follows when it is read.
    let ended = folder.run(&["run", "f.yaml", "-i", "other.csv", "--set", "question=why"]).await;
    assert_eq!((ended.code, lines(&ended.out).len()), (Some(0), 2), "{ended:?}");
    for (input, format, message) in
        [("other.csv", "csv", "standard input has no column"), ("flat.json", "jsonl", "standard input is a JSON array")]
    {
        let mut command = folder.command(&["run", "f.yaml", "-i", "-", "--format", format, "--no-journal"]);
        command.stdin(std::fs::File::open(folder.path(input)).unwrap());
        let ended = crate::program::wait(command.spawn().unwrap()).await;
        assert!(ended.code == Some(2) && ended.err.contains(message) && ended.out.is_empty(), "{ended:?}");
    }
    let plan = folder.run(&["plan", "f.yaml", "-i", "array.json"]).await;
    assert!(plan.code == Some(2) && plan.err.contains("is a JSON array"), "{plan:?}");
}

#[tokio::test]
async fn an_input_with_an_odd_beginning_and_valid_records_is_read() {
    let folder = Folder::new()
        .with("f.yaml", ECHO)
        .with("torn.jsonl", "{\n{\"q\": 1}\n")
        .with("array.jsonl", "[{\"q\": 0}]\n{\"q\": 1}\n")
        .with("place.tsv", "City, State\nParis\n")
        .with("question.csv", "Question; answer shortly\nWhy?\n")
        .with("semi.csv", "question;id\nx;1\n");
    for (input, code, of) in [("torn.jsonl", 3, 2), ("array.jsonl", 3, 2), ("place.tsv", 0, 1), ("question.csv", 0, 1)]
    {
        let ended = folder.run(&["run", "f.yaml", "-i", input, "-q", "--no-journal"]).await;
        let out = lines(&ended.out);
        assert_eq!((ended.code, out.len(), &out[of - 1]["status"]), (Some(code), of, &"ok".into()), "{ended:?}");
    }
    refused(&folder, &["-i", "semi.csv"], "seem to be separated by semicolons", "write it with commas").await;
}

#[tokio::test]
async fn a_byte_order_mark_is_not_part_of_the_first_name() {
    let flow = format!("inputs: {{ id: {{}} }}\n{ECHO}");
    let folder = Folder::new().with("f.yaml", flow).with("in.csv", "\u{feff}\"id\",b\n1,2\n");
    let ended = folder.run(&["run", "f.yaml", "-i", "in.csv", "-q"]).await;
    assert_eq!((ended.code, &lines(&ended.out)[0]["output"]["id"]), (Some(0), &"1".into()), "{ended:?}");
}

#[tokio::test]
async fn integers_beyond_64_bits_are_refused_and_not_rounded() {
    let flow = format!("inputs: {{ n: {{}}, m: {{ type: number, default: 0 }} }}\n{ECHO}");
    let records = "{\"n\":18446744073709551615}\n{\"n\":18446744073709551616}\n{\"n\":\"18446744073709551616\"}\n";
    let folder =
        Folder::new().with("f.yaml", flow).with("in.jsonl", records).with("in.csv", "n,m\n1,99999999999999999999\n");
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl"]).await;
    let out = lines(&ended.out);
    assert_eq!((ended.code, out.len()), (Some(3), 3), "{ended:?}");
    assert_eq!(out[0]["output"]["n"], u64::MAX);
    assert_eq!(out[1]["error"]["message"], "line 2: 18446744073709551616 at column 6 does not fit into 64 bits");
    assert!(out[1]["error"]["hint"].as_str().unwrap().contains("in quotes"), "{}", out[1]);
    assert_eq!(out[2]["output"]["n"], "18446744073709551616");
    let ended = folder.run(&["run", "f.yaml", "-i", "in.csv", "-q"]).await;
    let error = &lines(&ended.out)[0]["error"];
    assert_eq!(error["message"], "the field `m` does not fit into 64 bits: 99999999999999999999");
    // A number that no step uses, or that passes unchanged, may have any size.
    let fine = "{\"n\":100000000000000000000,\"hash\":340282366920938463463374607431768211455}\n";
    std::fs::write(folder.path("fine.jsonl"), fine).unwrap();
    std::fs::write(folder.path("fine.csv"), "n,m\n1,100000000000000000000\n").unwrap();
    for (input, field) in [("fine.jsonl", "n"), ("fine.csv", "m")] {
        let ended = folder.run(&["run", "f.yaml", "-i", input, "-q"]).await;
        assert_eq!((ended.code, &lines(&ended.out)[0]["output"][field]), (Some(0), &1e20.into()), "{ended:?}");
    }
    for set in ["n=18446744073709551616", "m=-99999999999999999999", "n=[99999999999999999999]"] {
        let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "--set", set]).await;
        assert!(ended.code == Some(2) && ended.err.contains("--set: `") && ended.err.contains("64 bits"), "{ended:?}");
    }
}

#[tokio::test]
async fn fractions_keep_their_digits() {
    // An ordinary parser would change the last digit of one in six of these.
    let mut dice = 0x2545_F491_4F6C_DD1D_u64;
    let numbers: Vec<f64> = std::iter::repeat_with(|| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits((dice >> 12) | 0x3FF0_0000_0000_0000) * 1e-3
    })
    .take(500)
    .collect();
    let records: String = numbers.iter().map(|number| format!("{{\"n\":{number}}}\n")).collect();
    let folder = Folder::new().with("f.yaml", ECHO).with("in.jsonl", records);
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-q"]).await;
    let written = |line: &str| line.split_once("\"output\":{\"n\":").unwrap().1.split_once('}').unwrap().0.to_owned();
    let out: Vec<String> = ended.out.lines().map(written).collect();
    assert_eq!(out, numbers.iter().map(ToString::to_string).collect::<Vec<_>>());
}
