//! **One outcome for each input**, in order if requested, whatever fails, panics, hangs or ends early.
//!
//! *Hazard*: rows that are missing from the output, or duplicated, without a trace.
//!
//! *Reports*: <https://github.com/Eventual-Inc/Daft/issues/5678>,
//! <https://github.com/langchain-ai/langgraph/issues/8834>.
//!
//! *Common alternative*: the first error or panic ends the loop, and everything in flight is lost (`cargo run
//! -p hazards -- panic`).
//!
//! *Here*: N inputs have N outcomes, each index once. Cancellation: `random_cancellation.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::{Context, Error, ErrorKind, Retry, Step, step};
use llmspell_test::FakeTool;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::pattern_cases::every_pattern;
use crate::probe::{Watch, ms, settled_tasks};

on_both_runtimes!(every_input_of_every_pattern_has_one_outcome, failure_is_one_outcome_and_the_stream_continues);

async fn every_input_of_every_pattern_has_one_outcome() {
    const ITEMS: usize = 200;
    let unreliable = || {
        let tool = FakeTool::<usize>::new("tool").jitter(ms(2)).failure_rate(0.1).panic_rate(0.1).hang_rate(0.02);
        tool.seed(3).timeout(ms(20)).boxed()
    };
    for (number, case) in every_pattern(unreliable).into_iter().enumerate() {
        let stream = case.step.stream(0..ITEMS, &Context::new()).limit(40);
        let ordered = number % 2 == 0;
        let outcomes = if ordered { stream.window(10) } else { stream }.collect().await;
        let mut indices: Vec<usize> = outcomes.iter().map(|outcome| outcome.index).collect();
        assert!(!ordered || indices.is_sorted(), "{}", case.name);
        indices.sort_unstable();
        assert_eq!(indices, (0..ITEMS).collect::<Vec<_>>(), "{}", case.name);
        for outcome in outcomes {
            assert!(outcome.result.is_err() || outcome.result.is_ok_and(|n| n == outcome.index));
        }
    }
}

async fn failure_is_one_outcome_and_the_stream_continues() {
    let picky = step(|n: usize, _| async move {
        if n.is_multiple_of(2) { Ok(n) } else { Err(Error::failed("odd").transient()) }
    });
    let outcomes = picky.retry(Retry::immediately()).stream(0..1000, &Context::new()).collect().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 500);
    assert_eq!(outcomes.len(), 1000);
}

#[test]
fn items_of_a_runtime_that_shuts_down_have_outcomes() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let other = Builder::new_current_thread().enable_all().build().unwrap();
    let mut stream = step(|n: usize, _| async move {
        std::future::pending::<()>().await;
        Ok(n)
    })
    .stream(0..5, &Context::new());
    // The items start on one runtime, which is then shut down.
    runtime.block_on(async { assert!(timeout(ms(20), stream.next()).await.is_err()) });
    runtime.shutdown_timeout(ms(1000));
    let outcomes = other.block_on(async { timeout(ms(5000), stream.collect()).await.expect("no hang") });
    assert_eq!(outcomes.len(), 5);
    for outcome in outcomes {
        assert_eq!(outcome.result.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

#[derive(Clone, Debug)]
struct Case {
    /// The delay of each item in milliseconds; every seventh item panics, every fifth fails.
    delays: Vec<u64>,
    limit: usize,
    window: Option<usize>,
    take: Option<usize>,
    consumer_delay: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let delays = prop::collection::vec(0..40u64, 0..60);
    (delays, 1..12usize, prop::option::of(0..10usize), prop::option::of(0..70usize), 0..20u64)
        .prop_map(|(delays, limit, window, take, consumer_delay)| Case { delays, limit, window, take, consumer_delay })
}

/// Runs `work` on a paused clock, so that two hundred cases take no time.
fn paused(work: impl Future<Output = ()>) {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn holds_for_any_delays_limits_and_ends(case in cases()) {
        paused(async move {
            let watch = Watch::default();
            let (seen, pulled) = (watch.clone(), Arc::new(AtomicUsize::new(0)));
            let work = step(move |(index, delay): (usize, u64), _| {
                let alive = seen.enter();
                async move {
                    sleep(ms(delay)).await;
                    assert!(index % 7 != 6, "seventh");
                    alive.complete();
                    if index % 5 == 4 { Err(Error::failed("fifth")) } else { Ok(index) }
                }
            });
            let counter = pulled.clone();
            let source = case.delays.clone().into_iter().enumerate().inspect(move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
            });
            let mut stream = work.stream(source, &Context::new()).limit(case.limit);
            if let Some(window) = case.window {
                stream = stream.window(window);
            }
            if let Some(take) = case.take {
                stream = stream.take(take);
            }
            let mut indices = Vec::new();
            while let Some(outcome) = stream.next().await {
                let ahead = pulled.load(Ordering::SeqCst) - indices.len();
                assert!(ahead <= case.limit + case.window.unwrap_or(0), "pulled {ahead} ahead");
                match &outcome.result {
                    Ok(index) => assert_eq!(*index, outcome.index),
                    Err(error) if outcome.index % 7 == 6 => assert_eq!(error.kind(), ErrorKind::Panicked),
                    Err(error) => assert_eq!((error.message(), outcome.index % 5), ("fifth", 4)),
                }
                indices.push(outcome.index);
                sleep(ms(case.consumer_delay)).await;
            }
            assert_eq!(watch.alive(), 0, "nothing runs after the end");
            assert!(watch.most_at_once() <= case.limit);
            assert_eq!(indices.len(), case.delays.len().min(case.take.unwrap_or(usize::MAX)));
            if case.window.is_some() {
                assert!(indices.is_sorted(), "{indices:?}");
            }
            indices.sort_unstable();
            indices.dedup();
            assert_eq!(indices.len(), case.delays.len().min(case.take.unwrap_or(usize::MAX)), "no index is duplicated");
            drop(stream);
            assert_eq!(settled_tasks().await, 0);
        });
    }
}
