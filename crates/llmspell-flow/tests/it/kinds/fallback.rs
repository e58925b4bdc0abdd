//! `fallback`: one stands in for the other.

use llmspell::observe::{Quality, ServedBy};
use serde_json::json;

use crate::kinds::probe::Probe;

const LADDER: &str = "steps:
  - id: s
    tool: work
    with: { ms: 100, value: best, fails: \"${{ inputs.first }}\" }
    fallback:
      - { tool: work, with: { ms: 50, value: good, fails: \"${{ inputs.second }}\" } }
      - { value: \"poor ${{ inputs.second }}\" }
";

#[tokio::test(start_paused = true)]
async fn the_first_rung_that_succeeds_serves() {
    let ran = Probe::default().run(LADDER, json!({ "first": "", "second": "" })).await;
    assert_eq!((ran.ms, ran.outcome.quality), (100, Quality::Full));
    assert_eq!(ran.output(), "best");

    let ran = Probe::default().run(LADDER, json!({ "first": "no", "second": "" })).await;
    assert_eq!((ran.ms, ran.outcome.quality, ran.causes()), (150, Quality::Fallback, vec!["f.s: no".to_owned()]));
    assert_eq!(ran.outcome.provenance.choices[0].served_by, ServedBy::Fallback { name: Some("fallback".to_owned()) });
    assert_eq!(ran.output(), "good");

    let ran = Probe::default().run(LADDER, json!({ "first": "no", "second": "never" })).await;
    assert_eq!((ran.ms, ran.outcome.quality), (150, Quality::Fallback));
    assert_eq!(ran.causes().len(), 1, "{:?}", ran.causes());
    assert!(ran.causes()[0].contains("never"), "{:?}", ran.causes());
    assert_eq!(ran.output(), "poor never");
}

#[tokio::test(start_paused = true)]
async fn it_serves_once_attempts_and_deadline_are_used_up() {
    let text = "steps:
  - id: s
    tool: work
    with: { ms: 100, fails: no }
    retry: { max: 3, base: 1ms }
    deadline: 150ms
    fallback: { tool: work, with: { ms: 200, value: late } }
";
    let probe = Probe::default();
    let ran = probe.run(text, json!({})).await;
    // The deadline is that of the step, not of what stands in for it.
    assert_eq!((ran.ms, probe.begun(), ran.outcome.quality), (350, 3, Quality::Fallback));
    assert_eq!(ran.output(), "late");
}

#[tokio::test(start_paused = true)]
async fn if_every_rung_fails_so_does_the_step() {
    let text = "steps:
  - id: s
    tool: work
    with: { fails: one }
    fallback: { tool: work, with: { fails: two } }
";
    let ran = Probe::default().run(text, json!({})).await;
    assert_eq!(ran.error().to_string(), "f.s.fallback: two");
    assert_eq!(ran.error().causes()[0].to_string(), "f.s: one");
}

#[tokio::test(start_paused = true)]
async fn a_rung_whose_condition_does_not_hold_is_passed_over() {
    let flow = "steps:
  - id: a
    tool: work
    with: { value: 1, fails: down }
    fallback:
      - { when: inputs.vip, tool: work, with: { value: vip } }
      - { when: inputs.any, value: any }
";
    let served = |ran: &crate::kinds::probe::Ran| match ran.outcome.provenance.choices.as_slice() {
        [choice] => match &choice.served_by {
            ServedBy::Fallback { name } => name.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let ran = Probe::default().run(flow, json!({ "vip": true, "any": true })).await;
    assert_eq!((served(&ran).as_deref(), ran.output()), (Some("fallback"), json!("vip")));
    let ran = Probe::default().run(flow, json!({ "vip": false, "any": true })).await;
    assert_eq!((served(&ran).as_deref(), ran.output()), (Some("fallback_2"), json!("any")));
    let ran = Probe::default().run(flow, json!({ "vip": false, "any": false })).await;
    assert_eq!(ran.error().to_string(), "f.a: down", "the failure stays as it is");
}
