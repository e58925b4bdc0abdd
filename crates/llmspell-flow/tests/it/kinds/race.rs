//! `race`: the first decides.

use llmspell::ErrorKind;
use llmspell::observe::ServedBy;
use serde_json::json;

use crate::kinds::probe::Probe;

fn race(rest: &str) -> String {
    format!(
        "steps:
  - id: r
    race:
      - {{ id: a, tool: work, with: {{ ms: 300, shows: 50, value: a }} }}
      - {{ id: b, tool: work, with: {{ ms: 100, value: b, fails: \"${{{{ inputs.b }}}}\" }} }}
      - {{ id: c, tool: work, with: {{ ms: 200, value: c }} }}
{rest}"
    )
}

#[tokio::test(start_paused = true)]
async fn the_first_success_wins_and_the_others_are_cancelled() {
    let probe = Probe::default();
    let ran = probe.run(&race(""), json!({ "b": "" })).await;
    assert_eq!((ran.ms, probe.begun(), probe.completed(), probe.alive()), (100, 3, 1, 0));
    let choice = &ran.outcome.provenance.choices[0];
    assert_eq!(choice.path.as_str(), "f.r");
    assert_eq!(choice.served_by, ServedBy::Contender { index: 1, name: Some("b".to_owned()) });
    assert_eq!(ran.output(), "b");
    // One that fails does not decide.
    let ran = Probe::default().run(&race("    first: success\n"), json!({ "b": "no" })).await;
    assert_eq!((ran.ms, ran.output()), (200, json!("c")));
}

#[tokio::test(start_paused = true)]
async fn the_first_to_complete_decides_even_with_an_error() {
    let probe = Probe::default();
    let ran = probe.run(&race("    first: completion\n"), json!({ "b": "no" })).await;
    assert_eq!((ran.ms, ran.error().kind(), probe.completed(), probe.alive()), (100, ErrorKind::Failed, 1, 0));
    assert_eq!(ran.error().to_string(), "f.r.b: no");
}

#[tokio::test(start_paused = true)]
async fn the_first_to_show_output_goes_on_alone() {
    let probe = Probe::default();
    let ran = probe.run(&race("    first: output\n"), json!({ "b": "" })).await;
    assert_eq!((ran.ms, probe.begun(), probe.completed()), (300, 3, 1));
    assert_eq!(ran.output(), "a");
}

#[tokio::test(start_paused = true)]
async fn if_all_fail_the_error_tells_of_each() {
    let text = "steps:
  - id: r
    race:
      - { id: a, tool: work, with: { ms: 10, fails: one } }
      - { id: b, tool: work, with: { ms: 20, fails: two } }
";
    let ran = Probe::default().run(text, json!({})).await;
    let causes: Vec<String> = ran.error().causes().iter().map(ToString::to_string).collect();
    assert_eq!(causes, ["f.r.a: one", "f.r.b: two"]);
}

#[tokio::test(start_paused = true)]
async fn whose_condition_does_not_hold_takes_no_part() {
    let flow = "steps:
  - id: r
    race:
      - { id: a, when: inputs.vip, tool: work, with: { ms: 10, value: a } }
      - { id: b, when: inputs.any, tool: work, with: { ms: 100, value: b } }
      - { id: c, when: inputs.any, tool: work, with: { ms: 200, value: c } }
";
    let probe = Probe::default();
    let ran = probe.run(flow, json!({ "vip": false, "any": true })).await;
    assert_eq!((ran.ms, probe.begun()), (100, 2));
    let choice = &ran.outcome.provenance.choices[0].served_by;
    assert!(matches!(choice, ServedBy::Contender { name: Some(name), .. } if name == "b"), "{choice:?}");
    assert_eq!(ran.output(), "b");
    let ran = Probe::default().run(flow, json!({ "vip": true, "any": false })).await;
    assert_eq!((ran.ms, ran.output()), (10, json!("a")));
    let unmatched = Probe::default().run(flow, json!({ "vip": false, "any": false })).await;
    assert_eq!((unmatched.outcome.provenance.choices.len(), unmatched.output()), (0, json!(null)));
}
