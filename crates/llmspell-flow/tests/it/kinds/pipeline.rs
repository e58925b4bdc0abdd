//! `pipeline`: steps one after another; with `from`, for each item of a list.

use llmspell::observe::Quality;
use serde_json::json;

use crate::kinds::probe::Probe;

#[tokio::test(start_paused = true)]
async fn without_a_list_it_is_one_step_after_the_other() {
    let text = "steps:
  - id: p
    pipeline:
      - { id: a, tool: work, with: { ms: 100, value: \"${{ inputs.n }}\" } }
      - { id: b, tool: work, with: { ms: 200, value: \"${{ steps.a + 1 }}\" } }
";
    let ran = Probe::default().run(text, json!({ "n": 1 })).await;
    assert_eq!((ran.ms, ran.output()), (300, json!(2)));
}

/// Later items are faster than earlier ones.
const STAGES: &str = "steps:
  - id: p
    from: inputs.list
    pipeline:
      - { id: a, tool: work, with: { ms: \"${{ 100 - index * 10 }}\", value: \"${{ item }}\" }, limit: 1 }
      - id: b
        tool: work
        with: { ms: 200, value: \"${{ steps.a }}.${{ index }}\", fails: \"${{ 'no' if item in inputs.bad else '' }}\" }
        limit: 1
";

#[tokio::test(start_paused = true)]
async fn stages_overlap_and_the_output_is_in_order() {
    let probe = Probe::default();
    let ran = probe.run(STAGES, json!({ "list": ["x", "y", "z"], "bad": [] })).await;
    // The first item fills the first stage, then the slower one sets the pace.
    assert_eq!((ran.ms, probe.most()), (100 + 3 * 200, 2));
    assert_eq!(ran.output(), json!(["x.0", "y.1", "z.2"]));
    let paths: Vec<_> = ran_paths(&probe, json!({ "list": ["x"], "bad": [] })).await;
    assert_eq!(paths, ["f", "f.p", "f.p.a", "f.p.b"]);
}

async fn ran_paths(probe: &Probe, record: serde_json::Value) -> Vec<String> {
    let ran = probe.run(STAGES, record).await;
    ran.cx.report().steps.iter().map(|step| step.path.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_item_that_fails_stops_it_or_is_left_out() {
    let record = json!({ "list": ["x", "y", "z"], "bad": ["y"] });
    let probe = Probe::default();
    let ran = probe.run(STAGES, record.clone()).await;
    assert_eq!(ran.error().to_string(), "f.p.b: item 1: no");
    assert_eq!((ran.ms, probe.alive()), (500, 0));

    let ran = Probe::default().run(&format!("{STAGES}    on_error: skip\n"), record).await;
    assert_eq!((ran.outcome.quality, ran.causes()), (Quality::Partial, vec!["f.p.b: item 1: no".to_owned()]));
    assert_eq!(ran.output(), json!(["x.0", "z.2"]));
}
