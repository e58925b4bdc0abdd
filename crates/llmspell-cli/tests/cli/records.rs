//! Runs over records: their output, and their messages on standard error.

use crate::program::{Folder, assert_output, lines};

const COUNT: &str = "flow: f\nsteps:\n  - { id: size, tool: text, with: { value: \"${{ inputs.q }}\", count: true } }\n\
                     output: ${{ steps.size.words }}\n";

#[tokio::test]
async fn the_output_file_appears_when_the_run_is_complete() {
    let folder = Folder::new().with("f.yaml", COUNT).with("in.jsonl", "{\"q\":\"one two\"}\n{\"q\":\"\"}\n");
    let folder = folder.with("out.jsonl", "old\n");
    let ended = folder.run(&["run", "f.yaml", "--input", "in.jsonl", "--output", "out.jsonl"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
    let out = lines(&folder.read("out.jsonl"));
    let outputs: Vec<_> = out.iter().map(|line| line["output"].as_u64().unwrap()).collect();
    assert_eq!(outputs, [2, 0]);
    assert!(ended.err.contains("f: 2 records in ") && ended.err.contains("output: out.jsonl\n"), "{}", ended.err);
    assert!(!folder.path("out.jsonl.partial").exists());
}

#[tokio::test]
async fn an_output_line_has_exactly_the_documented_keys() {
    let folder = Folder::new().with("f.yaml", COUNT).with("in.jsonl", "{\"q\":\"x\"}\nnonsense\n{\"q\":1}\n");
    let ended = folder.run(&["run", "f.yaml", "--input", "in.jsonl"]).await;
    assert_eq!(ended.code, Some(3));
    let keys = |line: &serde_json::Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let out = lines(&ended.out);
    assert_eq!(keys(&out[0]), "index line status quality output retries stages took_ms");
    assert_eq!(keys(&out[1]), "index line status error retries took_ms");
    assert_eq!(keys(&out[1]["error"]), "kind message hint");
    assert_eq!(out[1]["error"]["message"], "line 2 is not JSON: expected ident at column 2");
    assert_eq!(out[2]["error"]["path"], "f.size");
    assert!(ended.err.contains("3 records") && ended.err.contains("1 ok, 2 failed"), "{}", ended.err);
    assert!(ended.err.contains("1 × record: invalid\n      first at line 2"), "{}", ended.err);
    assert!(ended.err.lines().all(|line| line.chars().count() <= 160), "{}", ended.err);
}

#[tokio::test]
async fn the_summary_counts_outcomes_and_names_files() {
    let folder = Folder::new().with("f.yaml", COUNT).with("in.jsonl", "{\"q\":\"x\"}\nnonsense\n{\"q\":1}\n");
    let files = ["-i", "in.jsonl", "-o", "out.jsonl", "--errors", "bad.jsonl", "--report", "none"];
    let ended = folder.run(&[&["run", "f.yaml"][..], &files].concat()).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_output("summary", &ended.err);
}

#[tokio::test]
async fn line_endings_byte_order_marks_and_long_lines_are_accepted() {
    let long = format!("{{\"q\":\"{}\"}}", "word ".repeat(400_000));
    let text = format!("\u{feff}{{\"q\":\"a\"}}\r\n\r\n  \n{long}\n{{\"q\":\"b c\"}}");
    let folder = Folder::new().with("f.yaml", COUNT).with("in.jsonl", text);
    let ended = folder.run(&["run", "f.yaml", "--input", "in.jsonl", "--quiet"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let seen: Vec<_> = lines(&ended.out).iter().map(|line| (line["line"].as_u64(), line["output"].as_u64())).collect();
    assert_eq!(seen, [(Some(1), Some(1)), (Some(4), Some(400_000)), (Some(5), Some(2))]);
}

#[tokio::test]
async fn an_empty_input_gives_an_empty_output() {
    let folder = Folder::new().with("f.yaml", COUNT).with("in.jsonl", "");
    let ended = folder.run(&["run", "f.yaml", "--input", "in.jsonl", "--output", "out.jsonl"]).await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(folder.read("out.jsonl"), "");
    assert!(ended.err.starts_with("f: 0 records in "), "{}", ended.err);
}

#[tokio::test]
async fn the_report_can_be_json() {
    let folder = Folder::new().with("f.yaml", COUNT).with("in.jsonl", "{\"q\":\"a\"}\n");
    let ended = folder.run(&["run", "f.yaml", "--input", "in.jsonl", "--report", "json"]).await;
    let report: serde_json::Value = serde_json::from_str(ended.err.lines().last().unwrap()).unwrap();
    assert_eq!(report["pipelines"][0]["records"], 1);
    assert_eq!(report["steps"][1]["path"], "f.size");
}

#[tokio::test]
async fn flags_can_be_set_in_the_environment() {
    let folder = Folder::new().with("f.yaml", COUNT).with("in.jsonl", "{\"q\":\"a\"}\n");
    let mut command = folder.command(&["run", "f.yaml"]);
    command.env("LLMSPELL_INPUT", "in.jsonl").env("LLMSPELL_OUTPUT", "out.jsonl").env("LLMSPELL_QUIET", "true");
    let ended = crate::program::wait(command.spawn().unwrap()).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(lines(&folder.read("out.jsonl")).len(), 1);
}

#[tokio::test]
async fn variables_can_be_empty_or_false() {
    let folder = Folder::new().with("f.yaml", COUNT).with("in.jsonl", "{\"q\":\"a\"}\n");
    for (name, value, quiet) in [
        ("LLMSPELL_QUIET", "0", false),
        ("LLMSPELL_QUIET", "off", false),
        ("LLMSPELL_QUIET", "", false),
        ("LLMSPELL_QUIET", "1", true),
        ("LLMSPELL_FORCE", "", false),
        ("LLMSPELL_LIMIT", "", false),
        ("LLMSPELL_OUTPUT", "", false),
        ("LLMSPELL_ALLOW", "", false),
        ("LLMSPELL_ALLOW", ",read=.,", false),
        ("LLMSPELL_ALLOW", "net=example.org, command ", false),
    ] {
        let mut command = folder.command(&["run", "f.yaml", "-i", "in.jsonl"]);
        let ended = crate::program::wait(command.env(name, value).spawn().unwrap()).await;
        assert_eq!((ended.code, ended.err.is_empty()), (Some(0), quiet), "{name}={value}: {ended:?}");
        assert_eq!(lines(&ended.out).len(), 1);
    }
}

#[tokio::test]
async fn an_empty_list_of_permissions_grants_none() {
    let flow =
        "flow: f\nallow: { net: ['*'] }\nsteps: [{ id: a, tool: http_get, with: { url: \"${{ inputs.u }}\" } }]\n";
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", "{\"u\":\"http://127.0.0.1:9/\"}\n");
    for value in ["", ",", " , "] {
        let mut command = folder.command(&["run", "f.yaml", "-i", "in.jsonl"]);
        let ended = crate::program::wait(command.env("LLMSPELL_ALLOW", value).spawn().unwrap()).await;
        assert_eq!(ended.code, Some(4), "`{value}`: {ended:?}");
    }
}

#[tokio::test]
async fn plain_progress_counts_retrying_records() {
    let flow = "flow: f\nsteps:\n  - id: a\n    tool: slow\n    with: { failure_rate: 1 }\n    retry: { max: 2, base: 100ms }\n";
    let records = "{}\n".repeat(200);
    let slow = flow.replace("failure_rate: 1", "failure_rate: 1, delay_ms: 250");
    let folder = Folder::new().with("f.yaml", slow).with("in.jsonl", records);
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--limit", "20"]).await;
    assert_eq!(ended.code, Some(3));
    let progress: Vec<&str> = ended.err.lines().filter(|line| line.contains(" in flight")).collect();
    assert!(
        progress.iter().any(|line| line.contains("retrying)") && line.contains(" failed, 20 in flight")),
        "{progress:?}"
    );
}
