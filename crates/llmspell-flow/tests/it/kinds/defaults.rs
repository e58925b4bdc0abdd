//! `defaults`: what tools and agents have that say nothing else.

use llmspell::ErrorKind;
use serde_json::json;

use crate::kinds::probe::Probe;

#[tokio::test(start_paused = true)]
async fn calls_have_them_and_what_is_made_of_calls_does_not() {
    let text = "defaults: { timeout: 1s, retry: { max: 2, base: 1ms }, limit: 2 }
steps:
  - { id: e, each: range(3), do: { tool: work, with: { ms: \"${{ inputs.ms }}\" } } }
  - { id: v, value: 1 }
";
    let probe = Probe::default();
    let ran = probe.run(text, json!({ "ms": 900 })).await;
    // Two at once: the whole takes longer than one call may.
    assert_eq!((ran.ms, probe.most(), ran.outcome.result.is_ok()), (1800, 2, true));
    let probe = Probe::default();
    let ran = probe.run(text, json!({ "ms": 2000 })).await;
    let error = ran.error();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::AllFailed, 2));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_says_something_else_has_that() {
    let text = "defaults: { timeout: 1s, deadline: 3s, retry: 3, limit: 1 }
steps:
  - { id: a, tool: work, with: { ms: 2500, value: 1 }, timeout: 2600ms, retry: 1 }
";
    let probe = Probe::default();
    let ran = probe.run(text, json!({})).await;
    assert_eq!((ran.ms, ran.output()), (2500, json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_by_default_is_that_of_each_call() {
    let text = "defaults: { deadline: 1s }
steps:
  - { id: a, tool: work, with: { ms: 800 } }
  - { id: b, tool: work, with: { ms: 800, value: 2 } }
";
    let ran = Probe::default().run(text, json!({})).await;
    assert_eq!((ran.ms, ran.output()), (1600, json!(2)));
}

#[tokio::test(start_paused = true)]
async fn a_rung_of_a_fallback_has_them_too() {
    let text = "defaults: { timeout: 1s }
steps:
  - { id: a, tool: work, with: { fails: no }, fallback: { tool: work, with: { ms: 2000 } } }
";
    let ran = Probe::default().run(text, json!({})).await;
    assert_eq!((ran.ms, ran.error().kind()), (1000, ErrorKind::Timeout));
}
