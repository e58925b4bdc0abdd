//! **Nothing is silent**: every decision is an event, and a failing event sink does not fail the run.
//!
//! *Hazard*: a retry that is not logged, a fallback that looks like a full answer, a thread that is no longer
//! tracked.
//!
//! *Reports*: <https://github.com/livekit/agents/pull/5335>, where two of three retries were in no log.
//!
//! *Common alternative*: single log lines at some places.
//!
//! *Here*: every call has one start and one end, however it ends; every decision about a result is an event.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use llmspell::observe::{Event, EventKind};
use llmspell::step::BoxStep;
use llmspell::{
    Breaker, Context, Error, ErrorKind, Hedge, Limit, Retry, Step, join, pipeline, race, step, try_join, value,
};
use llmspell_test::FakeTool;
use tokio::time::timeout;

use crate::baseline::{tasks, until};
use crate::pattern_cases::every_pattern;
use crate::probe::{Probe, ms};

on_both_runtimes!(
    every_started_call_ends_once,
    calls_of_a_dropped_stream_end,
    every_decision_is_an_event,
    runaway_is_an_event,
    failing_event_sink_does_not_fail_the_run,
);

/// Returns a context, and all events under it.
fn recording() -> (Context, Arc<Mutex<Vec<Event>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    (Context::new().with_sink(move |event: &Event| log.lock().unwrap().push(event.clone())), seen)
}

/// Checks that each call has one start and one end. Returns the number of calls.
fn calls(events: &[Event]) -> usize {
    let mut open = BTreeMap::<u64, (usize, usize)>::new();
    for event in events {
        let (starts, ends) = open.entry(event.call).or_default();
        match event.fact {
            EventKind::Started => *starts += 1,
            EventKind::Finished { .. } | EventKind::Failed { .. } | EventKind::Cancelled { .. } => *ends += 1,
            _ => {}
        }
    }
    open.remove(&0);
    assert!(open.values().all(|calls| *calls == (1, 1)), "{open:?}");
    open.len()
}

async fn every_started_call_ends_once() {
    let flaky = || {
        let tool = FakeTool::<usize>::new("flaky").jitter(ms(2)).failure_rate(0.2).panic_rate(0.1).hang_rate(0.05);
        tool.seed(5).timeout(ms(20)).boxed()
    };
    for case in every_pattern(flaky) {
        let (cx, seen) = recording();
        let before = tasks();
        let (attempts, name) = (case.step.timeout(ms(40)).retry(Retry::immediately()), case.name);
        attempts.named("call").stream(0..40, &cx).limit(10).take(30).collect().await;
        // Cancelled tasks record their end when they stop.
        until(|| tasks() <= before).await;
        let count = calls(&seen.lock().unwrap());
        assert!(count >= 40, "{name}: {count} calls");
    }
}

async fn calls_of_a_dropped_stream_end() {
    for case in every_pattern(|| Probe::ok(3_600_000).named("inner").boxed()) {
        let (cx, seen) = recording();
        let before = tasks();
        let mut stream = case.step.named("outer").stream(0..100, &cx).limit(10);
        while seen.lock().unwrap().iter().filter(|event| event.fact == EventKind::Started).count() < 12 {
            assert!(timeout(ms(5), stream.next()).await.is_err());
        }
        drop(stream);
        until(|| tasks() <= before).await;
        let events = seen.lock().unwrap();
        calls(&events);
        // The model that requested the work had already finished; no other call did.
        let done = events.iter().filter(|event| matches!(event.fact, EventKind::Finished { .. }));
        assert_eq!(done.filter(|event| !event.path.as_str().ends_with(".model")).count(), 0);
    }
}

fn names(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| serde_json::to_value(&event.fact).unwrap()["event"].as_str().unwrap().to_owned();
    events.iter().map(name).collect()
}

/// Steps whose outcome is not a plain run, with the events that say why.
fn decisions() -> Vec<(BoxStep<usize, usize>, &'static [&'static str])> {
    let slow = || Probe::ok(3_600_000).named("slow");
    let fails = || step(|_: usize, _| async move { Err::<usize, _>(Error::failed("busy").transient()) }).named("fails");
    let quick = || Probe::ok(2).named("quick");
    let asked = |wait: u64| {
        let wait = ms(wait);
        step(move |_: usize, _| async move { Err::<usize, _>(Error::failed("429").with_retry_after(wait)) })
    };
    let partial = step(|n: usize, cx: Context| async move {
        cx.mark_partial(Error::failed("page 3 is missing"));
        Ok(n)
    });
    let shows = step(|_: usize, cx: Context| async move {
        cx.emit("word").await?;
        Err::<usize, _>(Error::failed("broken").transient())
    });
    let bomb = step(|n: usize, _| async move {
        assert!(n > 1000, "boom");
        Ok(n)
    });
    let one = Limit::new(1);
    let queue = || Probe::ok(5).limit(one.clone());
    vec![
        (slow().timeout(ms(5)).boxed(), &["timed_out", "cancelled", "failed"]),
        (slow().idle_timeout(ms(5), ms(5)).boxed(), &["timed_out", "cancelled", "failed"]),
        (fails().retry(Retry::immediately()).boxed(), &["attempt_failed", "retrying", "retry_refused", "failed"]),
        (fails().retry(Retry::delays([ms(500)])).deadline(ms(20)).boxed(), &["attempt_failed", "retry_refused"]),
        (asked(3_600_000).retry(Retry::exponential()).boxed(), &["attempt_failed", "retry_refused"]),
        (shows.retry(Retry::immediately()).boxed(), &["attempt_failed", "retry_refused"]),
        (
            fails().breaker(Breaker::builder().consecutive_failures(1).build()).retry(Retry::immediately()).boxed(),
            &["breaker_opened", "attempt_failed", "retrying", "refused"],
        ),
        (fails().fallback(value(1usize)).boxed(), &["failed", "fell_back", "finished"]),
        (partial.boxed(), &["degraded", "finished"]),
        (race((slow(), quick())).boxed(), &["race_won", "race_lost", "cancelled", "finished"]),
        (race((fails(), quick())).boxed(), &["race_failed", "race_won", "finished"]),
        (try_join((slow(), fails())).map(|outs| outs.0).boxed(), &["cancelled", "failed"]),
        (slow().idempotent().hedge(Hedge::after(ms(2))).timeout(ms(20)).boxed(), &["hedged", "timed_out"]),
        (join((queue(), queue())).map(|outs| outs.0).boxed(), &["queued", "admitted", "finished"]),
        (pipeline("p").stage("a", quick()).stage("b", quick()).boxed(), &["pipeline_stage", "finished"]),
        (bomb.named("bomb").boxed(), &["cancelled", "failed"]),
    ]
}

async fn every_decision_is_an_event() {
    for (number, (step, expected)) in decisions().into_iter().enumerate() {
        let (cx, seen) = recording();
        let (cx, _chunks) = cx.with_chunks(8);
        // A stream contains the panic.
        let call = llmspell::all([step]).map(|outs| outs[0]).named("call");
        let result = call.run(0, &cx).await;
        let names = names(&seen.lock().unwrap());
        for name in expected {
            assert!(names.iter().any(|seen| seen == name), "decision {number}, {result:?}: no {name} in {names:?}");
        }
        calls(&seen.lock().unwrap());
    }
}

async fn runaway_is_an_event() {
    let (cx, seen) = recording();
    let (release, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let wait = Arc::new(Mutex::new(wait));
    let blocking_work = step(move |(), cx: Context| {
        let wait = wait.clone();
        async move { cx.blocking(move |_| Ok(wait.lock().unwrap().recv()?)).await }
    });
    let error = blocking_work.timeout(ms(200)).named("call").run((), &cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let count = |wanted: &str| names(&seen.lock().unwrap()).iter().filter(|name| *name == wanted).count();
    assert_eq!((count("runaway"), count("runaway_ended")), (1, 0));
    release.send(()).unwrap();
    until(|| count("runaway_ended") > 0).await;
    assert_eq!((count("runaway"), count("runaway_ended")), (1, 1));
}

async fn failing_event_sink_does_not_fail_the_run() {
    let calls = Arc::new(Mutex::new(0));
    let counter = calls.clone();
    let cx = Context::recording().with_sink(move |_: &Event| {
        *counter.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        panic!("sink closed");
    });
    Probe::ok(1).named("a").stream(0..100, &cx).limit(10).try_collect().await.unwrap();
    let calls = *calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // It is not called again, except by threads that were already calling it.
    assert!((1..=10).contains(&calls), "called {calls} times");
    assert_eq!((cx.report().steps[0].ok, cx.events().len()), (100, 200));
}
