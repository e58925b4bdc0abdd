//! Reported usage: in outcomes, events and the report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llmspell::observe::{Cost, EventKind, Usage};
use llmspell::{Context, Error, Hedge, Retry, Step, join, race, settle, step, value};
use tokio::time::sleep;

use crate::probe::ms;
use crate::wait::until;

/// A step that reports `tokens`, and then succeeds or fails after a while.
fn spends(tokens: u64, delay_ms: u64, succeeds: bool) -> impl Step<In = usize, Out = usize> {
    step(move |n: usize, cx: Context| async move {
        cx.record_usage(Usage::new(tokens, 0).with_cost(tokens as f64 / 1000.0));
        sleep(ms(delay_ms)).await;
        if succeeds { Ok(n) } else { Err(Error::failed("no").transient()) }
    })
    .idempotent()
}

#[tokio::test(start_paused = true)]
async fn an_outcome_reports_its_usage() {
    let twice = spends(100, 1, true).then(spends(20, 1, true)).with_outcome();
    let outcome = twice.run(0, &Context::new()).await.unwrap();
    let usage = outcome.provenance.usage();
    assert_eq!((usage.input_tokens, usage.output_tokens), (120, 0));
    assert_eq!(usage.cost, Cost::new(0.12));
}

#[tokio::test(start_paused = true)]
async fn usage_counts_whether_it_served_or_not() {
    let tokens = async |step: llmspell::step::BoxStep<usize, usize>| {
        step.with_outcome().run(0, &Context::new()).await.unwrap().provenance.usage().tokens()
    };
    let retried = spends(100, 1, false).retry(Retry::immediately().max_attempts(3));
    assert_eq!(tokens(retried.boxed()).await, 300, "three attempts, all of which failed");
    let replaced = spends(100, 1, false).fallback(spends(20, 1, true));
    assert_eq!(tokens(replaced.boxed()).await, 120);
    let contest = race((spends(100, 50, true), spends(20, 10, true), spends(3, 1, false)));
    assert_eq!(tokens(contest.boxed()).await, 123, "losers count, too");
    let hedged = spends(100, 50, true).hedge(Hedge::after(ms(10)));
    assert_eq!(tokens(hedged.boxed()).await, 200);
    let timed_out = spends(100, 50, true).timeout(ms(10)).fallback(value(1usize));
    assert_eq!(tokens(timed_out.boxed()).await, 100);
    let group = join((spends(100, 1, true), spends(20, 1, true))).map(|(a, _)| a);
    assert_eq!(tokens(group.boxed()).await, 120);
}

#[tokio::test(start_paused = true)]
async fn a_failure_and_each_part_report_their_usage() {
    let both = settle((spends(100, 1, false), spends(20, 1, true))).with_outcome();
    let outcome = both.run(0, &Context::new()).await.unwrap();
    assert_eq!(outcome.provenance.usage().tokens(), 120);
    let (a, b) = outcome.result.unwrap();
    assert_eq!((a.provenance.usage().tokens(), b.provenance.usage().tokens()), (100, 20));
}

#[tokio::test(start_paused = true)]
async fn each_item_of_a_stream_has_its_own_usage() {
    let work = step(|n: u64, cx: Context| async move {
        cx.record_usage(Usage::new(n, 0));
        Ok(n)
    });
    for outcome in work.stream(0..50, &Context::recording()).collect().await {
        assert_eq!(outcome.provenance.usage().tokens(), outcome.index as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn the_report_adds_usage_up_by_step_and_in_all() {
    let cx = Context::recording();
    let flow = spends(100, 10, true).named("plan").then(spends(20, 10, true).named("write"));
    flow.named("flow").stream(0..3, &cx).collect().await;
    let report = cx.report();
    let of = |path: &str| report.steps.iter().find(|step| step.path.as_str() == path).unwrap().usage.tokens();
    assert_eq!((of("flow"), of("flow.plan"), of("flow.write")), (0, 300, 60));
    assert_eq!(report.usage.tokens(), 360);
    let expected = "\
wall 20 ms · sequential 60 ms · speedup 3.00× · 360 tokens (360 in, 0 out) · cost 0.36

step        calls  ok    p50    p95    p99   busy  tokens  cost
flow            3   3  20 ms  20 ms  20 ms
flow.plan       3   3  10 ms  10 ms  10 ms  30 ms     300   0.3
flow.write      3   3  10 ms  10 ms  10 ms  30 ms      60  0.06
";
    let table = report.to_string();
    assert!(table.starts_with(expected), "{table}");
    assert_eq!(serde_json::to_value(&report).unwrap()["usage"]["input_tokens"], 360);
}

#[tokio::test(start_paused = true)]
async fn a_report_without_usage_does_not_mention_it() {
    let cx = Context::recording();
    spends(0, 10, true).named("free").run(0, &cx).await.unwrap();
    let table = cx.report().to_string();
    assert!(!table.contains("tokens") && !table.contains("cost"), "{table}");
    assert!(serde_json::to_value(cx.report()).unwrap().get("usage").is_none());
}

#[tokio::test(start_paused = true)]
async fn each_use_is_an_event() {
    let cx = Context::recording();
    spends(100, 1, true).named("ask").run(0, &cx).await.unwrap();
    let event = cx.events().into_iter().find(|event| matches!(event.fact, EventKind::Used(_))).unwrap();
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(json["path"], "ask");
    let fact = serde_json::json!({"event": "used", "input_tokens": 100, "output_tokens": 0, "cost": 0.1});
    assert_eq!(json["fact"], fact);
    assert_eq!(serde_json::from_value::<llmspell::observe::Event>(json).unwrap(), event);
}

#[tokio::test]
async fn late_usage_of_work_that_outlives_its_caller_is_reported() {
    let release = Arc::new(AtomicBool::new(false));
    let flag = release.clone();
    let stubborn = step(move |(), cx: Context| {
        let flag = flag.clone();
        async move {
            cx.blocking(move |cx| {
                while !flag.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                cx.record_usage(Usage::new(7, 0));
                Ok(())
            })
            .await
        }
    });
    let cx = Context::recording();
    assert!(stubborn.named("late").timeout(ms(20)).run((), &cx).await.is_err());
    assert_eq!(cx.report().usage.tokens(), 0);
    release.store(true, Ordering::SeqCst);
    until(async || cx.report().usage.tokens() > 0).await;
    assert_eq!(cx.report().steps[0].usage.tokens(), 7);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_cost_is_ignored() {
    let odd = step(|cost: f64, cx: Context| async move {
        let mut usage = Usage::new(1, 0);
        usage.cost = Cost::new(cost);
        cx.record_usage(usage);
        cx.record_usage(Usage::new(1, 0).with_cost(2.0));
        Ok(())
    });
    for cost in [f64::NAN, f64::INFINITY, -1.0] {
        let cx = Context::recording();
        odd.clone().with_outcome().run(cost, &cx).await.unwrap();
        assert_eq!(cx.report().usage, Usage::new(2, 0).with_cost(2.0));
    }
}
