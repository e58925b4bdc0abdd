//! `concurrent`: steps at once.

use llmspell::ErrorKind;
use llmspell::observe::Quality;
use serde_json::json;

use crate::kinds::probe::Probe;

const THREE: &str = "steps:
  - id: all
    concurrent:
      - { id: a, tool: work, with: { ms: 300, value: 1 } }
      - { id: b, tool: work, with: { ms: 100, value: \"${{ inputs.n }}\" } }
      - { id: c, tool: work, with: { ms: 200, value: [2], fails: \"${{ inputs.fails }}\" } }
";

#[tokio::test(start_paused = true)]
async fn branches_run_at_once_and_their_outputs_are_a_table_in_the_order_of_the_file() {
    let probe = Probe::default();
    let ran = probe.run(THREE, json!({ "n": null, "fails": "" })).await;
    assert_eq!((ran.ms, probe.most()), (300, 3));
    assert_eq!(ran.output().to_string(), r#"{"a":1,"b":null,"c":[2]}"#);
}

#[tokio::test(start_paused = true)]
async fn a_limit_bounds_how_many_of_one_record_run_at_once() {
    let probe = Probe::default();
    let ran = probe.run(&format!("{THREE}    limit: 1\n"), json!({ "n": 5, "fails": "" })).await;
    assert_eq!((ran.ms, probe.most()), (600, 1));
    assert_eq!(probe.order(), ["1", "5", "[2]"]);
    let probe = Probe::default();
    let ran = probe.run(&format!("{THREE}    limit: 2\n"), json!({ "n": 5, "fails": "" })).await;
    assert_eq!((ran.ms, probe.most()), (300, 2));
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_cancels_the_others() {
    let probe = Probe::default();
    let ran = probe.run(THREE, json!({ "n": 5, "fails": "no" })).await;
    assert_eq!((ran.ms, ran.error().to_string()), (200, "f.all.c: no".to_owned()));
    assert_eq!((probe.begun(), probe.completed(), probe.alive()), (3, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn those_that_fail_can_be_left_out() {
    let skip = format!("{THREE}    on_error: skip\n");
    let ran = Probe::default().run(&skip, json!({ "n": 5, "fails": "no" })).await;
    assert_eq!((ran.ms, ran.outcome.quality), (300, Quality::Partial));
    assert_eq!(ran.causes(), ["f.all.c: no"]);
    assert_eq!(ran.output(), json!({ "a": 1, "b": 5 }));
    let ran = Probe::default().run(&skip, json!({ "n": 5, "fails": "" })).await;
    assert_eq!((ran.outcome.quality, ran.outcome.causes.len()), (Quality::Full, 0));
}

#[tokio::test(start_paused = true)]
async fn if_all_fail_the_step_does() {
    let text = "steps:
  - id: all
    on_error: skip
    concurrent:
      - { id: a, tool: work, with: { fails: one } }
      - { id: b, tool: work, with: { fails: two } }
";
    let ran = Probe::default().run(text, json!({})).await;
    let error = ran.error();
    assert_eq!((error.kind(), error.causes().len()), (ErrorKind::Failed, 2));
    assert!(error.to_string().starts_with("f.all: all 2 branches failed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn later_steps_see_the_table() {
    let text = format!("{THREE}  - {{ id: sum, value: \"${{{{ steps.all.a + steps.all.b }}}}\" }}\n");
    let ran = Probe::default().run(&text, json!({ "n": 5, "fails": "" })).await;
    assert_eq!(ran.output(), 6);
}
