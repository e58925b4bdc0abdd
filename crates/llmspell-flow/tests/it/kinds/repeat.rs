//! `repeat`: again and again until an expression holds.

use llmspell::observe::Quality;
use serde_json::json;

use crate::kinds::probe::Probe;

fn repeat(max: u32) -> String {
    format!(
        "steps:
  - id: r
    repeat:
      - {{ id: a, tool: work, with: {{ ms: 100, value: \"${{{{ index }}}}\" }} }}
      - {{ id: b, value: \"${{{{ (last or []) + [steps.a] }}}}\" }}
    until: steps.b | length >= inputs.enough
    max: {max}
"
    )
}

#[tokio::test(start_paused = true)]
async fn rounds_go_on_until_the_expression_holds() {
    let ran = Probe::default().run(&repeat(5), json!({ "enough": 3 })).await;
    assert_eq!((ran.ms, ran.outcome.quality), (300, Quality::Full));
    assert_eq!(ran.output(), json!([0, 1, 2]));
    assert_eq!(Probe::default().run(&repeat(5), json!({ "enough": 0 })).await.output(), json!([0]));
}

#[tokio::test(start_paused = true)]
async fn at_the_bound_the_last_output_is_marked_as_partial() {
    let ran = Probe::default().run(&repeat(2), json!({ "enough": 3 })).await;
    assert_eq!(
        (ran.outcome.quality, ran.causes()),
        (Quality::Partial, vec!["f.r: `until` did not hold after 2 rounds".to_owned()])
    );
    assert_eq!(ran.output(), json!([0, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_round_that_fails_ends_it() {
    let text = "steps:
  - id: r
    repeat: [{ id: a, tool: work, with: { fails: \"${{ 'no' if index == 1 else '' }}\" } }]
    until: index == 5
    max: 9
";
    let probe = Probe::default();
    assert_eq!(probe.run(text, json!({})).await.error().to_string(), "f.r.a: no");
    assert_eq!(probe.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_has_a_deadline_and_a_fallback_like_any_step() {
    let rest = "    deadline: 250ms\n    fallback: { value: too late }\n";
    let ran = Probe::default().run(&format!("{}{rest}", repeat(9)), json!({ "enough": 9 })).await;
    assert_eq!((ran.ms, ran.outcome.quality), (250, Quality::Fallback));
    assert_eq!(ran.output(), "too late");
}
