//! Inputs and flows that have changed since the last session.

use llmspell_run::RedoReason;
use serde_json::Value;

use crate::journal::world::{TWO_STEPS, World, records};

#[tokio::test(flavor = "multi_thread")]
async fn records_are_matched_at_any_position() {
    let world = World::new();
    let lines: Vec<String> = records(0..200).lines().map(str::to_owned).collect();
    world.through(world.begin(), &(lines.join("\n") + "\n")).await;
    world.calls();
    // Two are gone, some are new, and all are at other positions.
    let mut changed: Vec<_> = lines.iter().filter(|line| !line.contains("7}")).cloned().collect();
    changed.reverse();
    changed.insert(5, "{\"n\":1000}".to_owned());
    let (summary, page) = world.through(world.resume(), &changed.join("\n")).await;
    assert_eq!((summary.ok, summary.replayed, summary.gone), (181, 180, 20));
    assert_eq!(world.calls().len(), 2);
    let wanted: Vec<Value> =
        changed.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].clone()).collect();
    assert_eq!(page.outputs(), wanted);
    // The new record has a number of its own.
    let (summary, _) = world.through(world.resume(), &changed.join("\n")).await;
    assert_eq!((summary.replayed, world.calls().len()), (181, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_records_are_matched_in_order() {
    let world = World::new();
    let (summary, _) = world.through(world.begin(), &"{\"n\":1}\n".repeat(10)).await;
    assert_eq!(summary.ok, 10);
    world.calls();
    let (summary, _) = world.through(world.resume(), &("{\"n\":2}\n".to_owned() + &"{\"n\":1}\n".repeat(12))).await;
    assert_eq!((summary.ok, summary.replayed, summary.gone), (13, 10, 0));
    assert_eq!(world.calls().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_key_with_other_content_is_another_version() {
    let world = World::new();
    let flow = || world.flow("key: id", TWO_STEPS);
    let text = |n: u64| {
        (0..20).map(|id| format!("{{\"id\":{id},\"n\":{}}}\n", if id == 4 { n } else { id })).collect::<String>()
    };
    let journal = world.journals().begin(&flow()).unwrap();
    world.through_flow(flow(), journal, &text(4)).await;
    world.calls();
    let (summary, page) = world.through_flow(flow(), world.resume(), &text(400)).await;
    assert_eq!((summary.ok, summary.replayed, summary.gone), (20, 19, 0));
    assert_eq!(page.outputs()[4], 400);
    assert_eq!(world.calls().len(), 2, "all of it is done again");
    let (summary, _) = world.through_flow(flow(), world.resume(), &text(400)).await;
    assert_eq!((summary.replayed, world.calls().len()), (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_flow_reruns_only_changed_steps() {
    let world = World::new();
    world.through(world.begin(), &records(0..30)).await;
    world.calls();
    let steps = TWO_STEPS.replace("step: b,", "step: b, version: 2,");
    let flow = || world.flow("", &steps);
    let journal = world.resume();
    let same = journal.resume_plan(&world.two_steps()).unwrap();
    assert_eq!((same.kept.as_slice(), same.redone.len(), same.records), (&["a".into(), "b".into()][..], 0, 0));
    let plan = journal.resume_plan(&flow()).unwrap();
    assert_eq!(plan.kept, ["a"]);
    assert_eq!(plan.redone, [("b".to_owned(), RedoReason::Changed)]);
    assert_eq!(plan.records, 30);
    let (summary, _) = world.through_flow(flow(), journal, &records(0..30)).await;
    assert_eq!((summary.ok, summary.replayed), (30, 0));
    let calls = world.calls();
    assert_eq!((calls.len(), calls.iter().all(|(step, _)| step == "b")), (30, true));
    // And back again: the results of the first version are still there.
    let (summary, _) = world.through(world.resume(), &records(0..30)).await;
    assert_eq!((summary.ok, world.calls().len()), (30, 0));
}

/// Returns how many records are matched, and which steps run again, when the second flow resumes the run of the first.
async fn plan_of_change(head: &str, then: &str) -> (u64, Vec<String>) {
    let world = World::new();
    let flow = |head: &str| world.flow(head, TWO_STEPS);
    world.through_flow(flow(head), world.journals().begin(&flow(head)).unwrap(), "{\"n\":1}\n{}\n").await;
    world.calls();
    let (summary, _) = world.through_flow(flow(then), world.resume(), "{\"n\":1}\n{}\n").await;
    (summary.replayed, world.calls().into_iter().map(|(step, _)| step).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn declarations_change_outcomes_and_descriptions_do_not() {
    let head = "inputs: { n: { default: 1, description: old } }\nreturns: { x: { required: false, description: old } }";
    let head = format!("{head}\noutput: {{ x: \"${{{{ steps.b }}}}\" }}");
    let (replayed, calls) = plan_of_change(&head, &head.replace("old", "new")).await;
    assert_eq!((replayed, calls.len()), (2, 0));
    // The outcomes differ, but the step results are the same.
    for (old, new) in
        [("x: { required: false", "x: { type: integer"), ("n: { default: 1", "n: { default: 1, type: integer")]
    {
        let (replayed, calls) = plan_of_change(&head, &head.replace(old, new)).await;
        assert_eq!((replayed, calls.len()), (0, if old.starts_with('x') { 0 } else { 4 }), "{new}");
    }
    let (replayed, calls) = plan_of_change(&head, &head.replace("default: 1", "default: 2")).await;
    assert_eq!((replayed, calls.len()), (0, 4), "whatever names the input runs again");
    // A field that no step names.
    let more = |default: u8| format!("inputs: {{ n: {{ default: 1 }}, more: {{ default: {default} }} }}");
    let (replayed, calls) = plan_of_change(&more(1), &more(2)).await;
    assert_eq!((replayed, calls.len()), (0, 0));
}
