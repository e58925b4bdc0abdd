//! `when`: whether a step runs.

use serde_json::json;

use crate::kinds::probe::Probe;

#[tokio::test(start_paused = true)]
async fn a_step_that_does_not_run_gives_null() {
    let text = "steps:
  - { id: a, tool: work, with: { ms: 100, value: 1 }, when: inputs.go, fallback: { value: 2 } }
  - { id: b, value: \"${{ [steps.a] }}\" }
";
    let ran = Probe::default().run(text, json!({ "go": true })).await;
    assert_eq!((ran.ms, ran.output()), (100, json!([1])));
    for not in [json!(false), json!(0), json!(""), json!([]), json!({}), json!(null)] {
        let probe = Probe::default();
        let ran = probe.run(text, json!({ "go": not })).await;
        assert_eq!((ran.ms, probe.begun(), ran.output()), (0, 0, json!([null])));
    }
}

#[tokio::test(start_paused = true)]
async fn branches_and_items_and_rungs_can_be_left_out_too() {
    let text = "steps:
  - id: c
    concurrent:
      - { id: a, value: 1, when: inputs.a }
      - { id: b, value: 2 }
  - { id: e, each: range(4), do: { value: \"${{ item }}\", when: item is odd } }
  - { id: p, from: range(2), pipeline: [{ id: q, value: 1 }, { id: r, value: 2, when: index == 0 }] }
output: ${{ [steps.c, steps.e, steps.p] }}
";
    let ran = Probe::default().run(text, json!({ "a": false })).await;
    assert_eq!(ran.output(), json!([{ "a": null, "b": 2 }, [null, 1, null, 3], [2, null]]));
}

#[tokio::test(start_paused = true)]
async fn an_expression_that_cannot_be_computed_is_an_error_of_the_step() {
    let ran = Probe::default().run("steps: [{ id: a, value: 1, when: inputs.x.y }]\n", json!({})).await;
    assert!(ran.error().to_string().starts_with("f.a: `inputs.x.y`"), "{}", ran.error());
    // Deep inside, too.
    let text = "steps: [{ id: e, each: range(1), do: { value: 1, when: inputs.x.y } }]\n";
    let ran = Probe::default().run(text, json!({})).await;
    assert!(ran.error().to_string().starts_with("f.e.do: item 0: `inputs.x.y`"), "{}", ran.error());
}
