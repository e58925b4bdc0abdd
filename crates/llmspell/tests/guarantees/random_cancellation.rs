//! **Random cancellation** at every await loses and duplicates nothing.
//!
//! *Hazard*: a future dropped half-way loses what it held: a received item, a permit, a position in a queue.
//! The clock decides at which await that happens.
//!
//! *Reports*: <https://rfd.shared.oxide.computer/rfd/0397>, <https://rfd.shared.oxide.computer/rfd/0400>,
//! <https://github.com/tokio-rs/tokio/pull/5525>.
//!
//! *Common alternative*: receiving and handling an item in one arm of `select!` loses the item when another arm
//! is first (`cargo run -p hazards -- given_up`).
//!
//! *Here* (G3): over 100,000 inputs in each test and on each runtime, none is lost or duplicated, wherever
//! waits, streams and steps are dropped. Each input is delivered or observed to be cancelled. The drop points
//! come from a seed.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use fastrand::Rng;
use llmspell::pattern::stream::Streaming;
use llmspell::step::BoxStep;
use llmspell::{Context, Limit, Step, step};
use tokio::task::yield_now;

use crate::baseline::{tasks, until};
use crate::input_tracker::{InputTracker, TrackedInput};
use crate::pattern_cases::{PatternCase, every_pattern};
use crate::probe::Watch;

on_both_runtimes!(
    dropping_the_wait_for_an_outcome_loses_none,
    inputs_of_dropped_streams_are_accounted_for,
    step_can_be_dropped_at_every_await,
);

/// The number of inputs of each test: most in streams of a plain step, the rest in streams of every pattern.
const ITEMS: usize = 100_000;

/// Returns the number of inputs for a pattern.
fn share(pattern: usize, patterns: usize) -> usize {
    if pattern < SHAPES { ITEMS / 5 } else { (2 * ITEMS / 5).div_ceil(patterns) }
}

/// As they complete, in order, and in order with a window.
const SHAPES: usize = 3;

/// Polls `work` until it completes, or until it was pending more than `waits` times; then it is dropped.
async fn dropped_after<F: Future>(waits: usize, work: F) -> Option<F::Output> {
    let (mut work, mut left) = (pin!(work), waits);
    poll_fn(|task| match work.as_mut().poll(task) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Returns a step that sometimes yields, and waits for one of three permits.
fn waiting(watch: &Watch, limit: &Limit) -> BoxStep<usize, usize> {
    let watch = watch.clone();
    let wait = move |n: usize, _| {
        let alive = watch.enter();
        async move {
            for _ in 0..n % 4 {
                yield_now().await;
            }
            alive.complete();
            Ok(n)
        }
    };
    step(wait).limit(limit.clone()).boxed()
}

/// Returns a pattern over tracked inputs.
fn over_tracked_inputs(inner: BoxStep<usize, usize>) -> BoxStep<TrackedInput, TrackedInput> {
    let run = move |input: TrackedInput, cx: Context| {
        let inner = inner.clone();
        async move {
            assert_eq!(inner.run(input.index, &cx).await?, input.index);
            Ok(input)
        }
    };
    step(run).boxed()
}

/// Returns a plain step for each shape, and every pattern.
fn cases(watch: &Watch, limit: &Limit) -> Vec<PatternCase> {
    let plain = (0..SHAPES).map(|_| PatternCase { name: "a step", step: waiting(watch, limit), in_place: true });
    plain.chain(every_pattern(|| waiting(watch, limit))).collect()
}

fn shaped(
    stream: Streaming<BoxStep<TrackedInput, TrackedInput>>,
    shape: usize,
    limit: usize,
) -> Streaming<BoxStep<TrackedInput, TrackedInput>> {
    match shape {
        0 => stream.limit(limit),
        1 => stream.limit(limit).ordered(),
        _ => stream.limit(limit).window(limit),
    }
}

async fn dropping_the_wait_for_an_outcome_loses_none() {
    let (mut rng, limit) = (Rng::with_seed(1), Limit::new(3));
    let cases = cases(&Watch::default(), &limit);
    let patterns = cases.len();
    for (number, case) in cases.into_iter().enumerate() {
        let items = share(number, patterns);
        let tracker = InputTracker::new(items);
        let stream = over_tracked_inputs(case.step).stream(tracker.inputs(), &Context::new());
        let mut stream = shaped(stream, number % SHAPES, 16);
        let mut expected = 0;
        loop {
            let Some(next) = dropped_after(rng.usize(0..4), stream.next()).await else {
                if rng.bool() {
                    yield_now().await;
                }
                continue;
            };
            let Some(outcome) = next else { break };
            let input = outcome.result.unwrap();
            assert_eq!(input.index, outcome.index);
            assert!(number % SHAPES == 0 || outcome.index == expected, "{}: out of order", case.name);
            expected += 1;
            input.deliver();
        }
        assert_eq!(tracker.settled(), Some((items, 0)), "{}", case.name);
    }
    assert_eq!(limit.available(), Some(3));
}

/// Each stream continues with the rest of the source of the streams before it.
async fn inputs_of_dropped_streams_are_accounted_for() {
    let (mut rng, limit, watch) = (Rng::with_seed(2), Limit::new(3), Watch::default());
    let before = tasks();
    let cases = cases(&watch, &limit);
    let patterns = cases.len();
    for (number, case) in cases.into_iter().enumerate() {
        let items = share(number, patterns);
        let tracker = InputTracker::new(items);
        let (source, step) = (Arc::new(Mutex::new(tracker.inputs())), over_tracked_inputs(case.step));
        let mut is_left = true;
        while is_left {
            let source = source.clone();
            let rest = std::iter::from_fn(move || source.lock().unwrap().next());
            let stream = step.clone().stream(rest, &Context::new()).take(rng.usize(1..200));
            let mut stream = shaped(stream, rng.usize(0..SHAPES), rng.usize(1..20));
            for _ in 0..rng.usize(0..100) {
                match dropped_after(rng.usize(0..4), stream.next()).await {
                    Some(Some(outcome)) => outcome.result.unwrap().deliver(),
                    Some(None) => {
                        is_left = stream.delivered() > 0;
                        break;
                    }
                    None => {}
                }
            }
            if rng.bool() {
                stream.stop().await;
            }
        }
        until(|| tracker.settled().is_some()).await;
        let (delivered, cancelled) = tracker.settled().unwrap();
        assert!(delivered > items / 20 && cancelled > items / 20, "{}: {delivered}, {cancelled}", case.name);
    }
    until(|| tasks() <= before).await;
    assert_eq!((watch.alive(), limit.available()), (0, Some(3)));
}

/// The step is dropped at the first wait, at the second, and so on until it completes; then it is run again.
async fn step_can_be_dropped_at_every_await() {
    let before = tasks();
    let patterns = every_pattern(|| waiting(&Watch::default(), &Limit::new(3))).len();
    for pattern in 0..patterns {
        let (limit, watch) = (Limit::new(3), Watch::default());
        let case = every_pattern(|| waiting(&watch, &limit)).swap_remove(pattern);
        let (mut runs, mut round, mut waits) = (0, 0, 0);
        while runs < ITEMS.div_ceil(patterns) {
            runs += 1;
            match dropped_after(waits, case.step.run(round, &Context::new())).await {
                None => waits += 1,
                Some(result) => {
                    assert_eq!(result.unwrap(), round, "{}", case.name);
                    round += 1;
                    waits = 0;
                }
            }
            if case.in_place {
                assert_eq!((watch.alive(), limit.available()), (0, Some(3)), "{}", case.name);
            } else if runs % 64 == 0 {
                yield_now().await;
            }
        }
        until(|| tasks() <= before).await;
        assert_eq!((watch.alive(), limit.available()), (0, Some(3)), "{}", case.name);
        assert_eq!(case.step.run(7, &Context::new()).await.unwrap(), 7);
    }
}
