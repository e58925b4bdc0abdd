//! `limit`, `rate`, `adaptive`, `breaker`, `hedge`: how much a server is asked to do.

use llmspell::observe::{EventKind, ServedBy};
use llmspell::{Context, ErrorKind, Step};
use serde_json::{Value, json};

use crate::kinds::probe::Probe;

async fn stream(probe: &Probe, text: &str, records: u32) -> (Vec<llmspell::Result<Value>>, Context) {
    let cx = Context::recording();
    let records = (0..records).map(|n| json!({ "n": n })).collect::<Vec<_>>();
    let limit = records.len();
    let outcomes = probe.flow(text).stream(records, &cx).limit(limit).ordered().collect().await;
    (outcomes.into_iter().map(|outcome| outcome.result).collect(), cx)
}

fn work(with: &str, rest: &str) -> String {
    format!("steps:\n  - {{ id: a, tool: work, with: {{ {with} }}, {rest} }}\n")
}

#[tokio::test(start_paused = true)]
async fn a_limit_holds_for_all_records_together() {
    let probe = Probe::default();
    stream(&probe, &work("ms: 100", "limit: 3"), 10).await;
    assert_eq!((probe.most(), probe.begun()), (3, 10));
}

#[tokio::test(start_paused = true)]
async fn calls_start_no_faster_than_the_rate() {
    let probe = Probe::default();
    stream(&probe, &work("ms: 0", "rate: 2/s"), 7).await;
    let starts = probe.starts();
    for (place, start) in starts.iter().enumerate() {
        let within = starts[place..].iter().filter(|later| **later < start + 1000).count();
        assert!(within <= 4, "{starts:?}");
    }
    assert!(starts[6] >= 2000, "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_made_again_takes_its_turn_again() {
    let probe = Probe::default();
    let text = work("bad: 3", "rate: { requests: 1/s, burst: 1ms }, retry: { max: 4, base: 1ms }");
    let (results, _) = stream(&probe, &text, 1).await;
    assert!(results[0].is_ok(), "{results:?}");
    assert_eq!(probe.starts().iter().map(|start| start / 100).collect::<Vec<_>>(), [0, 10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_limit_grows_and_falls() {
    let probe = Probe::default();
    let text = work("ms: 100, fails: \"${{ 'busy' if inputs.n == 40 else '' }}\"", "adaptive: { max: 8 }");
    let (_, cx) = stream(&probe, &text, 100).await;
    assert_eq!(probe.most(), 8);
    // It begins with four.
    assert_eq!(probe.starts()[3..5], [0, 100]);
    let changes: Vec<usize> = cx
        .events()
        .iter()
        .filter_map(|event| match &event.fact {
            EventKind::LimitChanged { to, .. } => Some(*to),
            _ => None,
        })
        .collect();
    assert!(changes.windows(2).any(|pair| pair[1] < pair[0]), "{changes:?}");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_without_calling() {
    let probe = Probe::default();
    let text = work("ms: 100, fails: no", "limit: 1, breaker: { share: 0.5, calls: 3, window: 10s, open: 5s }");
    let (results, _) = stream(&probe, &text, 10).await;
    assert_eq!(probe.begun(), 3);
    let refused = results.iter().filter(|result| result.as_ref().unwrap_err().kind() == ErrorKind::Rejected).count();
    assert_eq!(refused, 7);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_gets_a_second_copy() {
    let probe = Probe::default();
    // The second call of all is the copy.
    let text = work("ms: 1000, value: 1", "hedge: { after: 300ms, share: 1 }");
    let cx = Context::new();
    let outcome = probe.flow(&text).with_outcome().run(json!({}), &cx).await.unwrap();
    assert_eq!((probe.starts(), probe.completed(), probe.alive()), (vec![0, 300], 1, 0));
    assert!(outcome.provenance.choices.iter().all(|choice| !matches!(choice.served_by, ServedBy::Fallback { .. })));
    // A call that is fast enough gets none.
    let probe = Probe::default();
    probe.run(&work("ms: 200, value: 1", "hedge: 300ms"), json!({})).await;
    assert_eq!(probe.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn false_switches_off_what_is_on_by_other_means() {
    let probe = Probe::default();
    let (results, _) = stream(&probe, &work("fails: no", "breaker: false, adaptive: false"), 50).await;
    assert_eq!((probe.begun(), results.len()), (50, 50));
}
