//! `each`: the same for every item of a list.

use llmspell::ErrorKind;
use llmspell::observe::Quality;
use serde_json::json;

use crate::kinds::probe::Probe;

fn each(rest: &str) -> String {
    format!(
        "steps:
  - id: e
    each: inputs.list
    do: {{ tool: work, with: {{ ms: 100, value: \"${{{{ item }}}}\", fails: \"${{{{ 'no' if item == 2 else '' }}}}\" }} }}
{rest}"
    )
}

#[tokio::test(start_paused = true)]
async fn so_many_at_once_as_the_limit_says_and_in_order() {
    let probe = Probe::default();
    let ran = probe.run(&each("    limit: 2\n"), json!({ "list": [5, 4, 3, 1, 0] })).await;
    assert_eq!((ran.ms, probe.most(), probe.starts()), (300, 2, vec![0, 0, 100, 100, 200]));
    assert_eq!(ran.output(), json!([5, 4, 3, 1, 0]));
    // Left out, it is 16.
    let probe = Probe::default();
    let ran = probe.run(&each(""), json!({ "list": vec![7; 17] })).await;
    assert_eq!((ran.ms, probe.most()), (200, 16));
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_gives_an_empty_list_and_anything_else_is_an_error() {
    assert_eq!(Probe::default().run(&each(""), json!({ "list": [] })).await.output(), json!([]));
    let ran = Probe::default().run(&each(""), json!({ "list": "abc" })).await;
    assert_eq!(ran.error().kind(), ErrorKind::Invalid);
    assert_eq!(ran.error().to_string(), "f.e: `inputs.list` must be a list, but is a text");
}

#[tokio::test(start_paused = true)]
async fn an_item_that_fails_cancels_the_rest_or_is_left_out() {
    let record = json!({ "list": [1, 2, 3, 4, 5] });
    let probe = Probe::default();
    let ran = probe.run(&each("    limit: 2\n"), record.clone()).await;
    assert_eq!(ran.error().to_string(), "f.e.do: item 1: no");
    assert_eq!((ran.ms, probe.begun(), probe.alive()), (100, 2, 0));

    let ran = Probe::default().run(&each("    on_error: skip\n"), record).await;
    assert_eq!((ran.outcome.quality, ran.causes()), (Quality::Partial, vec!["f.e.do: item 1: no".to_owned()]));
    assert_eq!(ran.output(), json!([1, 3, 4, 5]));

    let ran = Probe::default().run(&each("    on_error: skip\n"), json!({ "list": [2, 2] })).await;
    assert!(ran.error().to_string().starts_with("f.e: all 2 items failed"), "{}", ran.error());
}

#[tokio::test(start_paused = true)]
async fn several_steps_see_the_item_and_those_before_them() {
    let text = "steps:
  - { id: base, value: 10 }
  - id: e
    each: range(3)
    do:
      - { id: a, value: \"${{ item * steps.base }}\" }
      - { id: b, value: \"${{ [index, steps.a] }}\" }
";
    assert_eq!(Probe::default().run(text, json!({})).await.output(), json!([[0, 0], [1, 10], [2, 20]]));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_step_inside_holds_for_all_records_together() {
    let probe = Probe::default();
    let text = "steps:
  - id: e
    each: range(4)
    do: { tool: work, with: { ms: 100 }, limit: 3 }
";
    let flow = probe.flow(text);
    let cx = llmspell::Context::new();
    let out = llmspell::Step::stream(flow, [json!({}), json!({}), json!({})], &cx).try_collect().await.unwrap();
    assert_eq!((out.len(), probe.most(), probe.begun()), (3, 3, 12));
}
