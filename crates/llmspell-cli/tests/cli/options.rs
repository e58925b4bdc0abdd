//! Options of a run: handling of failures, rate and budget.

use crate::program::{Folder, lines};

/// A flow that fails for odd `n`.
const ODD: &str = "flow: f\nsteps:\n  - { id: a, tool: slow, with: { value: \"${{ inputs.n }}\", \
                   failure_rate: \"${{ inputs.n % 2 }}\" } }\n";

fn folder(records: u32) -> Folder {
    let records: String = (0..records).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    Folder::new().with("f.yaml", ODD).with("in.jsonl", records)
}

#[tokio::test]
async fn failed_records_can_go_to_another_file_or_have_no_line() {
    let folder = folder(10);
    let args = ["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl"];
    let ended = folder.run(&[&args[..], &["--errors", "bad.jsonl"]].concat()).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.contains("failed records: bad.jsonl\n"), "{}", ended.err);
    let (good, bad) = (lines(&folder.read("out.jsonl")), lines(&folder.read("bad.jsonl")));
    assert!(good.len() == 5 && good.iter().all(|line| line["status"] == "ok"));
    assert!(
        bad.len() == 5 && bad.iter().all(|line| line["status"] == "failed" && line["index"].as_u64().unwrap() % 2 == 1)
    );
    let ended = folder.run(&[&args[..], &["--on-error", "drop"]].concat()).await;
    assert_eq!((ended.code, lines(&folder.read("out.jsonl")).len()), (Some(3), 5), "{ended:?}");
    assert!(ended.err.contains("5 failed"), "{}", ended.err);
}

#[tokio::test]
async fn the_errors_file_must_differ_from_input_and_output() {
    let folder = folder(1);
    for (errors, wanted) in [("in.jsonl", "it is the input"), ("out.jsonl", "--output and --errors are the same file")]
    {
        let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--errors", errors]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains(wanted) && ended.err.contains("\nhint: "), "{}", ended.err);
        assert!(!folder.path("out.jsonl.partial").exists());
    }
}

#[tokio::test]
async fn a_failure_can_stop_a_run() {
    let folder = folder(1000);
    let args = ["run", "f.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--on-error", "stop", "--limit", "1"];
    let ended = folder.run(&args).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let out = lines(&folder.read("out.jsonl.partial"));
    assert!(out.len() < 100 && out.iter().any(|line| line["status"] == "failed"), "{}", out.len());
    assert!(ended.err.contains("not admitted, from line "), "{}", ended.err);
}

#[tokio::test]
async fn records_start_at_a_rate() {
    let folder = folder(7);
    let began = tokio::time::Instant::now();
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "--rate", "5/s", "-q"]).await;
    assert_eq!((ended.code, lines(&ended.out).len()), (Some(3), 7));
    assert!(began.elapsed().as_millis() >= 1000, "{:?}", began.elapsed());
}

#[tokio::test]
async fn with_strict_degraded_results_end_with_exit_code_5() {
    let flow = "flow: f\nsteps:\n  - id: a\n    tool: slow\n    with: { failure_rate: 1 }\n    fallback:\n      - { value: 1 }\n";
    let folder = Folder::new().with("f.yaml", flow).with("in.jsonl", "{}\n");
    assert_eq!(folder.run(&["run", "f.yaml", "-i", "in.jsonl"]).await.code, Some(0));
    let ended = folder.run(&["run", "f.yaml", "-i", "in.jsonl", "--strict"]).await;
    assert_eq!((ended.code, &lines(&ended.out)[0]["quality"]), (Some(5), &"fallback".into()), "{ended:?}");
}

#[cfg(feature = "models")]
#[tokio::test]
async fn a_budget_in_usd_warns_about_models_without_prices() {
    let flow = |prices: &str| {
        let model = "model: openai/gpt-5-mini, endpoint: \"http://127.0.0.1:9/v1/\", key: SOME_KEY";
        let models = format!("models: {{ small: {{ {model}{prices} }} }}");
        format!(
            "flow: f\nallow: {{ net: [127.0.0.1] }}\n{models}\nsteps: [{{ id: a, agent: {{ model: small, prompt: hi }} }}]\n"
        )
    };
    let folder = Folder::new().with("in.jsonl", "{}\n").with("f.yaml", flow(""));
    let folder = folder.with("priced.yaml", flow(", prices: { input: 1, output: 1 }"));
    for (name, budget, warns) in [("f", "5usd", true), ("f", "5 tokens", false), ("priced", "5usd", false)] {
        let file = format!("{name}.yaml");
        let words = ["run", &file, "-i", "in.jsonl", "--budget", budget, "--allow", "net=127.0.0.1"];
        let mut command = folder.command(&words);
        let ended = crate::program::wait(command.env("SOME_KEY", "sk-0123456789").spawn().unwrap()).await;
        assert_eq!(ended.err.contains("`small` has no prices"), warns, "{ended:?}");
    }
}
