//! Resuming runs.

use std::collections::HashMap;
use std::time::Duration;

use llmspell::{Context, ErrorKind};
use llmspell_run::{RetryFilter, RunEnd};
use serde_json::{Value, json};

use crate::journal::world::{World, records};

#[tokio::test(flavor = "multi_thread")]
async fn finished_work_is_not_repeated() {
    let world = World::new();
    world.plays(|step, n| if step == "b" && n.as_u64().unwrap() % 3 == 0 { "failed" } else { "fine" });
    let (first, before) = world.through(world.begin(), &records(0..50)).await;
    assert!(matches!(first.ending, RunEnd::Complete));
    assert_eq!((first.ok, first.failed, first.replayed), (33, 17, 0));
    assert_eq!(world.calls().len(), 100);

    let (second, plan_of_change) = world.through(world.resume(), &records(0..50)).await;
    assert_eq!((second.ok, second.failed, second.replayed, second.gone), (33, 17, 50, 0));
    assert_eq!(world.calls(), vec![]);
    assert_eq!(plan_of_change.text(), before.text(), "byte by byte, times included");
    assert_eq!(second.failures.groups()[0].count, 17);
    assert_eq!(second.failures.groups()[0].path, "f.b");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_work_in_flight_runs_again() {
    let world = World::new();
    // The tenth record hangs in its second step until the run is aborted, and blocks the records after it.
    world.plays(|step, n| if step == "b" && n == 10 { "hangs" } else { "fine" });
    let (run, page) = world.run(world.begin(), &records(0..500));
    let (stop, progress) = (run.stop_handle(), run.progress());
    let cx = Context::new();
    let stop = async {
        while progress.snapshot().done() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.abort();
    };
    let (summary, ()) = tokio::join!(run.start(&cx), stop);
    assert!(matches!(summary.ending, RunEnd::Aborted));
    assert_eq!(page.lines().len(), 10);
    let before = world.calls();
    assert!(before.len() > 22, "those behind it went on");

    world.plays(|_, _| "fine");
    let (summary, page) = world.through(world.resume(), &records(0..500)).await;
    assert_eq!((summary.ok, summary.failed), (500, 0));
    assert!(page.outputs().into_iter().eq((0..500).map(Value::from)));
    let mut times = HashMap::new();
    for (step, n) in before.into_iter().chain(world.calls()) {
        *times.entry((step, n.as_u64().unwrap())).or_insert(0) += 1;
    }
    assert_eq!(times.len(), 1000);
    // The result of its first step was kept, so only the second step is repeated.
    assert_eq!(times[&("a".to_owned(), 10)], 1);
    assert_eq!(times[&("b".to_owned(), 10)], 2);
    assert!(times.values().filter(|times| **times > 1).count() <= 8, "no more than were in flight");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_run_again_if_the_filter_selects_them() {
    let world = World::new();
    let n = |n: &Value| n.as_u64().unwrap();
    world.plays(move |step, record| match (step, n(record) % 10) {
        ("b", 3) => "failed",
        ("b", 7) => "timeout",
        ("b", 9) => "panics",
        _ => "fine",
    });
    let (first, _) = world.through(world.begin(), &records(0..40)).await;
    assert_eq!((first.ok, first.failed), (28, 12));
    world.calls();
    world.plays(|_, _| "fine");

    let (second, _) = world.through(world.resume(), &records(0..40)).await;
    assert_eq!((second.failed, world.calls().len()), (12, 0), "failures stay, panics too");
    let timeouts = world.resume().retry(RetryFilter::Kinds(vec![ErrorKind::Timeout]));
    let (third, _) = world.through(timeouts, &records(0..40)).await;
    assert_eq!((third.ok, third.failed, third.replayed), (32, 8, 36));
    let calls = world.calls();
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|(step, n)| step == "b" && n.as_u64().unwrap() % 10 == 7), "the first step was kept");
    let (last, page) = world.through(world.resume().retry(RetryFilter::Failed), &records(0..40)).await;
    assert_eq!((last.ok, last.failed, last.replayed), (40, 0, 32));
    assert!(page.outputs().into_iter().eq((0..40).map(Value::from)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_run_resumes_with_the_denied_records() {
    let world = World::new();
    world.plays(|_, n| if n.as_u64().unwrap() >= 20 { "denied" } else { "fine" });
    let (first, _) = world.through(world.begin(), &records(0..100)).await;
    assert!(matches!(first.ending, RunEnd::Stopped(_)));
    world.plays(|_, _| "fine");
    let (second, page) = world.through(world.resume(), &records(0..100)).await;
    assert!(matches!(second.ending, RunEnd::Complete), "{:?}", second.ending);
    assert_eq!((second.ok, second.failed), (100, 0));
    assert_eq!(page.lines().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_because_of_cancellation_does_not_count() {
    let world = World::new();
    let steps =
        "\n  - { id: a, tool: work, with: { step: a, n: \"${{ inputs.n }}\" }, retry: { max: 5, base: 60s } }\n";
    let flow = || world.flow("", steps);
    world.plays(|_, n| if n == 3 { "timeout" } else { "fine" });
    let (run, page) = world.run_of(flow(), world.journals().begin(&flow()).unwrap(), &records(0..20));
    let run = run.follow_steps();
    let progress = run.progress();
    let (cx, canceller) = Context::new().cancellable();
    let stop = async {
        while progress.snapshot().retrying() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        canceller.cancel();
    };
    let running = tokio::time::timeout(Duration::from_secs(20), run.start(&cx));
    let (summary, ()) = tokio::join!(running, stop);
    let summary = summary.unwrap();
    assert!(matches!(summary.ending, RunEnd::Aborted), "{:?}", summary.ending);
    assert_eq!((summary.failed, page.lines()[3]["status"].as_str()), (1, Some("failed")));
    world.plays(|_, _| "fine");
    let (summary, _) = world.through_flow(flow(), world.resume(), &records(0..20)).await;
    assert_eq!((summary.ok, summary.failed), (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn free_results_are_not_kept_but_the_outcome_is() {
    let world = World::new();
    let flow = || world.flow("", "\n  - { id: a, tool: text, with: { value: \"${{ inputs.n }}\" } }\n");
    let journal = world.journals().begin(&flow()).unwrap();
    let (_, before) = world.through_flow(flow(), journal, &records(0..300)).await;
    let count = |table| {
        let count = format!("SELECT count(*) FROM {table}");
        world.db("f-1").query_row(&count, [], |row| row.get::<_, u64>(0)).unwrap()
    };
    assert_eq!((count("record"), count("result")), (300, 0));
    let (summary, plan_of_change) = world.through_flow(flow(), world.resume(), &records(0..300)).await;
    assert_eq!((summary.replayed, plan_of_change.text() == before.text()), (300, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_outputs_are_stored_once() {
    let world = World::new();
    world.plays(|step, _| if step == "b" { "large" } else { "fine" });
    let (_, before) = world.through(world.begin(), &records(0..30)).await;
    let blobs: (u64, u64) = world
        .db("f-1")
        .query_row("SELECT count(*), sum(length(data)) FROM blob", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(blobs, (1, 10_002));
    world.calls();
    let (_, plan_of_change) = world.through(world.resume(), &records(0..30)).await;
    assert_eq!((plan_of_change.text() == before.text(), world.calls().len()), (true, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_row_agrees_with_its_output_line() {
    let world = World::new();
    let steps =
        "\n  - { id: a, tool: work, with: { step: a, n: 1 }, fallback: { value: { none: \"${{ inputs.n }}\" } } }\n";
    let flow = || world.flow("", steps);
    world.plays(|_, _| "failed");
    let journal = world.journals().begin(&flow()).unwrap();
    let (summary, page) = world.through_flow(flow(), journal, &records(0..2)).await;
    assert_eq!(summary.degraded, 2);
    let line = &page.lines()[0];
    assert_eq!((&line["quality"], &line["causes"][0]["kind"]), (&json!("fallback"), &json!("failed")));
    assert_eq!(line["choices"][0]["served_by"]["fallback"]["name"], "fallback", "{line}");
    let row: (String, String, String) = world
        .db("f-1")
        .query_row("SELECT status, quality, output FROM records WHERE line = 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(row, ("ok".to_owned(), "fallback".to_owned(), line["output"].to_string()));
    let (_, plan_of_change) = world.through_flow(flow(), world.resume(), &records(0..2)).await;
    assert_eq!(plan_of_change.text(), page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn exhausted_retries_are_selected_by_their_last_error() {
    let world = World::new();
    let steps =
        "\n  - { id: a, tool: work, with: { step: a, n: \"${{ inputs.n }}\" }, retry: { max: 2, base: 1ms } }\n";
    let flow = || world.flow("", steps);
    world.plays(|_, n| if n.as_u64().unwrap() < 3 { "timeout" } else { "fine" });
    let (first, _) = world.through_flow(flow(), world.journals().begin(&flow()).unwrap(), &records(0..10)).await;
    assert_eq!((first.ok, first.failed), (7, 3));
    let group = &first.failures.groups()[0];
    assert_eq!((group.kind, group.attempts, group.count), (ErrorKind::Timeout, 2, 3));
    world.plays(|_, _| "fine");
    let denied = world.resume().retry(RetryFilter::Kinds(vec![ErrorKind::Denied]));
    let (second, _) = world.through_flow(flow(), denied, &records(0..10)).await;
    assert_eq!((second.failed, second.replayed), (3, 10));
    let timeouts = world.resume().retry(RetryFilter::Kinds(vec![ErrorKind::Timeout]));
    let (third, _) = world.through_flow(flow(), timeouts, &records(0..10)).await;
    assert_eq!((third.ok, third.replayed), (10, 7));
}
