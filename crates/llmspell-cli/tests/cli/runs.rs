//! Resumed runs: the messages at the end, resuming, and listing and steering runs.

use serde_json::Value;

use crate::program::{Folder, lines, until, wait};

const SLOW: &str =
    "flow: f\nsteps:\n  - { id: a, tool: slow, limit: 2, with: { delay_ms: 40, value: \"${{ inputs.n }}\" } }\n";

fn folder(records: u32) -> Folder {
    let records: String = (0..records).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    Folder::new().with("f.yaml", SLOW).with("in.jsonl", records)
}

async fn begun(folder: &Folder) {
    until("a line of output", || {
        std::fs::read_to_string(folder.path("out.jsonl.partial")).is_ok_and(|text| text.contains('\n'))
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupted_run_prints_how_to_resume_it() {
    let folder = folder(60);
    let child =
        folder.start(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--allow", "net=a.org", "-l", "4"]);
    begun(&folder).await;
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let first = wait(child).await;
    assert_eq!(first.code, Some(130), "{first:?}");
    assert!(
        first.err.contains("\nrun: f-1, interrupted\nhint: resume the run: llmspell resume f-1 --allow net=a.org\n"),
        "{}",
        first.err
    );
    assert!(folder.run(&["runs"]).await.out.starts_with("f-1  interrupted  "));
    let again = folder.run(&["resume"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.err.contains("replayed from the journal"), "{}", again.err);
    let outputs: Vec<_> =
        lines(&folder.read("out.jsonl")).iter().map(|line| line["output"].as_u64().unwrap()).collect();
    assert!(outputs.into_iter().eq(0..60));
    assert!(!folder.path("out.jsonl.partial").exists());
    let runs: Value = serde_json::from_str(&folder.run(&["runs", "--json"]).await.out).unwrap();
    assert_eq!((&runs[0]["run"], &runs[0]["state"], &runs[0]["ok"]), (&"f-1".into(), &"complete".into(), &60.into()));
    assert_eq!(runs[0]["sessions"], 2);
    let shown = folder.run(&["runs", "show", "f-1"]).await.out;
    // Its permissions are not recorded.
    assert!(shown.contains("--limit=4") && !shown.contains("a.org"), "{shown}");
    let report = folder.run(&["report", "f-1"]).await;
    assert!(report.code == Some(0) && report.out.contains("\na ") || report.out.contains("a  "), "{report:?}");
    let report: Value = serde_json::from_str(&folder.run(&["report", "--json"]).await.out).unwrap();
    assert_eq!(report["flow"], "f");
}

#[tokio::test]
async fn a_killed_run_is_resumed_with_its_recorded_options() {
    let folder = folder(40);
    let mut command = folder.command(&["run", "f.yaml", "-o", "out.jsonl"]);
    let mut child = command.env("LLMSPELL_INPUT", "in.jsonl").env("LLMSPELL_UNORDERED", "1").spawn().unwrap();
    begun(&folder).await;
    let second = folder.run(&["resume", "f-1"]).await;
    assert!(second.code == Some(2) && second.err.contains("is running"), "{second:?}");
    child.kill().await.unwrap();
    assert!(folder.run(&["runs"]).await.out.starts_with("f-1  cut short  "));
    let again = folder.run(&["resume", "f-1", "--limit", "3"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let mut outputs: Vec<_> =
        lines(&folder.read("out.jsonl")).iter().map(|line| line["output"].as_u64().unwrap()).collect();
    outputs.sort_unstable();
    assert!(outputs.into_iter().eq(0..40));
}

#[tokio::test]
async fn resume_only_failed_runs_failed_records_again() {
    let flow = "flow: f\nsteps:\n  - { id: a, tool: slow, with: { failure_rate: 1 } }\n";
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", "{}\n{\"a\":1}\n");
    let args = ["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"];
    assert_eq!(folder.run(&args).await.code, Some(3));
    assert_eq!(folder.run(&["resume", "f-1"]).await.code, Some(3));
    std::fs::write(folder.path("f.yaml"), flow.replace("failure_rate: 1", "failure_rate: 0")).unwrap();
    let ended = folder.run(&["resume", "f-1", "--retry", "timeout"]).await;
    assert!(ended.err.contains("the flow has changed: 2 records go through it again"), "{}", ended.err);
    let ended = folder.run(&["resume", "f-1", "--only-failed"]).await;
    assert_eq!((ended.code, lines(&folder.read("out.jsonl")).len()), (Some(0), 2), "{ended:?}");
}

#[tokio::test]
async fn run_only_failed_continues_the_latest_run() {
    let flow = "flow: f\nsteps:\n  - { id: a, tool: slow, with: { failure_rate: \"${{ inputs.rate }}\", value: \"${{ inputs.n }}\" } }\n";
    let records = |rate: u32| format!("{{\"n\":1,\"rate\":0}}\n{{\"n\":2,\"rate\":{rate}}}\n");
    let flow = flow.replace("flow: f\n", "flow: f\nkey: n\n");
    let folder = Folder::new().with("f.yaml", &flow).with("in.jsonl", records(1));
    let run = ["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"];
    let again = [&run[..], &["--only-failed"]].concat();
    let none = folder.run(&again).await;
    assert!(none.code == Some(2) && none.err.contains("no run of the flow `f`"), "{none:?}");
    assert_eq!(folder.run(&run).await.code, Some(3));
    std::fs::write(folder.path("in.jsonl"), records(0)).unwrap();
    let ended = folder.run(&again).await;
    assert!(ended.code == Some(0) && ended.err.contains("resuming f-1"), "{ended:?}");
    assert!(ended.err.contains("2 ok") && ended.err.contains("1 replayed from the journal"), "{}", ended.err);
    assert_eq!(lines(&folder.read("out.jsonl")).len(), 2);
    assert_eq!(folder.run(&["runs", "--json"]).await.out.matches("f-1").count(), 1, "it is the same run");
    let wrong = folder.run(&[&again[..], &["--no-journal"]].concat()).await;
    assert!(wrong.code == Some(2) && wrong.err.contains("hint: leave out --no-journal"), "{wrong:?}");
}

#[tokio::test]
async fn run_only_failed_requires_the_same_records() {
    let folder = folder(2).with("my other.jsonl", "{\"n\":7}\n").with("a.md", "x");
    assert_eq!(folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-q"]).await.code, Some(0));
    for (records, hint) in [
        (
            &["-i", "my other.jsonl"][..],
            "llmspell resume f-1 --only-failed --input 'my other.jsonl'; to start a new run",
        ),
        (&["--files", "*.md"], "to use its own records: llmspell resume f-1 --only-failed; to start a new run"),
    ] {
        let ended = folder.run(&[&["run", "f.yaml", "--only-failed"][..], records].concat()).await;
        assert!(
            ended.code == Some(2)
                && ended.err.contains("the records of f-1, the latest run of the flow, are those of in.jsonl"),
            "{ended:?}"
        );
        assert!(ended.err.contains(hint), "{}", ended.err);
    }
    let absolute = folder.path("in.jsonl");
    for same in ["./in.jsonl", absolute.to_str().unwrap()] {
        let ended = folder.run(&["run", "f.yaml", "-i", same, "--retry", "timeout"]).await;
        assert!(ended.code == Some(0) && ended.err.contains("resuming f-1"), "{ended:?}");
    }
    // A variable neither continues a run nor fails one.
    let mut command = folder.command(&["run", "f.yaml", "-i", "in.jsonl", "--no-journal"]);
    let ended = wait(command.env("LLMSPELL_ONLY_FAILED", "1").env("LLMSPELL_RETRY", "timeout").spawn().unwrap()).await;
    assert!(ended.code == Some(0) && !ended.err.contains("resuming"), "{ended:?}");
}

#[tokio::test]
async fn records_of_standard_input_must_be_provided_again() {
    let folder = folder(3);
    let mut command = folder.command(&["run", "f.yaml", "-i", "-", "-o", "out.jsonl"]);
    command.stdin(std::fs::File::open(folder.path("in.jsonl")).unwrap());
    assert_eq!(wait(command.spawn().unwrap()).await.code, Some(0));
    let again = folder.run(&["resume", "f-1"]).await;
    assert!(again.code == Some(2) && again.err.contains("hint: provide them again: --input FILE"), "{again:?}");
    let again = folder.run(&["resume", "f-1", "--input", "in.jsonl"]).await;
    assert!(again.code == Some(0) && again.err.contains("3 replayed from the journal"), "{again:?}");
}

#[tokio::test]
async fn a_running_run_can_be_steered() {
    let folder = folder(20_000);
    let child = folder.start(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"]);
    begun(&folder).await;
    let asked = folder.run(&["runs", "set", "f-1", "limit.a=50"]).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert_eq!(asked.out, "limit.a = 50, was 2; at most 51 records in flight, was 3\n");
    let more = folder.run(&["runs", "set", "f-1", "limit=40"]).await;
    assert_eq!(more.out, "limit = 40 records in flight, was 51\n");
    let wrong = folder.run(&["runs", "set", "f-1", "limit.b=5"]).await;
    assert!(wrong.code == Some(2) && wrong.err.contains("hint: steps with a limit: a"), "{wrong:?}");
    assert!(folder.run(&["runs", "pause", "f-1"]).await.out.starts_with("paused"));
    assert!(folder.run(&["runs", "continue", "f-1"]).await.out.starts_with("continued"));
    assert_eq!(folder.run(&["runs", "rm", "f-1"]).await.code, Some(2));
    assert!(folder.run(&["runs", "drain", "f-1"]).await.out.starts_with("stopping"));
    let run = wait(child).await;
    assert!(matches!(run.code, Some(0 | 130)), "{run:?}");
}

#[tokio::test]
async fn runs_are_removed_by_name_and_by_retention() {
    let folder = folder(1);
    let args = ["run", "f.yaml", "-i", "in.jsonl", "-q"];
    assert_eq!(folder.run(&["runs"]).await.out, "no runs in .llmspell/runs\n");
    for n in 1..=3 {
        assert_eq!(folder.run(&args).await.code, Some(0));
        assert!(folder.path(&format!(".llmspell/runs/f-{n}.db")).exists());
    }
    assert_eq!(folder.run(&[&args[..], &["--no-journal"]].concat()).await.code, Some(0));
    assert_eq!(folder.run(&["runs", "rm", "f-2"]).await.out, "removed: f-2\n");
    assert_eq!(folder.run(&["runs", "prune", "--keep", "1"]).await.out, "removed: f-1\n");
    // The retention is applied after each complete run.
    assert_eq!(folder.run(&[&args[..], &["--journal-keep", "1"]].concat()).await.code, Some(0));
    assert_eq!(folder.run(&["runs"]).await.out.lines().count(), 1);
    for args in
        [&["resume"][..], &["resume", "f-9"], &["report", "x"], &["runs", "show", "../x"], &["runs", "rm", "f-9"]]
    {
        let ended = folder.run(args).await;
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.err.lines().last().unwrap().starts_with("hint: "), "{args:?}: {}", ended.err);
    }
}

#[tokio::test]
async fn records_with_damaged_outputs_run_again_and_are_reported() {
    let text = |n: u32| format!("marker-{n}-{}", "x".repeat(5000));
    let records: String = (0..9).map(|n| serde_json::json!({ "n": text(n) }).to_string() + "\n").collect();
    let folder = Folder::new().with("f.yaml", SLOW).with("in.jsonl", records);
    let run = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let journal = folder.path(".llmspell/runs/f-1.db");
    let mut bytes = std::fs::read(&journal).unwrap();
    for marker in [b"\"marker-3-", b"\"marker-5-"] {
        let places: Vec<_> = (0..bytes.len() - 10).filter(|at| bytes[*at..].starts_with(marker)).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at + 1] = b'M');
    }
    std::fs::write(&journal, bytes).unwrap();
    std::fs::remove_file(folder.path("out.jsonl")).unwrap();
    let again = folder.run(&["resume", "f-1"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let reported = "the journal is damaged: 2 records went through the flow again\n";
    assert_eq!(again.err.matches(reported).count(), 1, "{}", again.err);
    let outputs: Vec<_> = lines(&folder.read("out.jsonl")).iter().map(|line| line["output"].clone()).collect();
    assert!(outputs.into_iter().eq((0..9).map(text)));
}
