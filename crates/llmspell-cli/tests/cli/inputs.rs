//! Records from CSV, from files, and from part of the input.

use crate::program::{Folder, lines};

/// The whole record as output.
const ECHO: &str = "flow: f\nsteps: [{ id: a, tool: json, with: { value: \"${{ inputs }}\" } }]\n";

#[tokio::test]
async fn rows_of_csv_are_records_and_wrong_ones_fail_alone() {
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
    assert_eq!(lines(&crate::program::ended(command.spawn().unwrap()).await.out).len(), 3);
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
async fn a_header_that_cannot_be_is_said_with_2() {
    let folder = Folder::new().with("f.yaml", ECHO).with("in.csv", "a,a\n1,2\n");
    let ended = folder.run(&["run", "f.yaml", "-i", "in.csv"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("two columns are called `a`"), "{}", ended.err);
    assert!(ended.err.contains("\nhint: give each column a name of its own\n"), "{}", ended.err);
}

#[tokio::test]
async fn files_are_records_whose_text_is_read_if_it_is_wanted() {
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
    // Its own output is not among the files, though it is there while they are listed.
    let ended = folder.run(&["run", "names.yaml", "--files", "*", "-o", "out.md", "--force"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let names: Vec<_> = lines(&folder.read("out.md")).iter().map(|line| line["output"]["name"].clone()).collect();
    assert_eq!(names, ["a.md", "b.md", "c.txt", "f.yaml", "names.yaml"]);
}

#[tokio::test]
async fn a_sample_is_the_same_each_time_and_fields_can_be_set() {
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
