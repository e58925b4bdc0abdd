//! **Random cancellation** at every await loses and doubles nothing.
//!
//! *Hazard*: a future that is dropped half-way takes with it what it held: an item that it had received already, a
//! permit, a place in a queue. Which of its awaits that happens at is up to the clock.
//!
//! *Reports*: <https://rfd.shared.oxide.computer/rfd/0397>, <https://rfd.shared.oxide.computer/rfd/0400>,
//! <https://github.com/tokio-rs/tokio/pull/5525>.
//!
//! *Common alternative*: a wait for "the next one, and what it takes to handle it" in an arm of `select!` loses the item
//! when another arm is first (`cargo run -p hazards -- given_up`).
//!
//! *Here* (G3): over 100,000 inputs in each test and on each runtime, none is lost and none comes twice, wherever the
//! waits for outcomes, the streams and the steps are dropped; each is delivered or was seen to be cancelled. The places
//! come from a seed.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use fastrand::Rng;
use llmspell::{BoxStep, Context, Limit, Step, Streaming, step};
use tokio::task::yield_now;

use crate::control::{tasks, until};
use crate::every_pattern::{Nest, every_pattern};
use crate::ledger::{Entry, Ledger};
use crate::probe::Watch;

on_both_runtimes!(
    giving_up_the_wait_for_an_outcome_loses_none,
    inputs_of_streams_that_are_dropped_are_accounted_for,
    a_step_can_be_dropped_at_every_await,
);

/// Inputs in all of each test: most of them in streams of a plain step, the rest in streams of every pattern.
const ITEMS: usize = 100_000;

/// How many inputs a pattern gets.
fn share(pattern: usize, patterns: usize) -> usize {
    if pattern < SHAPES { ITEMS / 5 } else { (2 * ITEMS / 5).div_ceil(patterns) }
}

/// As they finish, in order, and in order with a window.
const SHAPES: usize = 3;

/// Polls `work` until it is done, or has been found waiting once more often than `waits`; then it is dropped where it
/// stands.
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

/// Waits now and then: for its turn, and for one of three permits.
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

/// A pattern over inputs that are accounted for.
fn accounted(inner: BoxStep<usize, usize>) -> BoxStep<Entry, Entry> {
    let run = move |entry: Entry, cx: Context| {
        let inner = inner.clone();
        async move {
            assert_eq!(inner.run(entry.index, &cx).await?, entry.index);
            Ok(entry)
        }
    };
    step(run).boxed()
}

/// A plain step for each shape, and every pattern.
fn cases(watch: &Watch, limit: &Limit) -> Vec<Nest> {
    let plain = (0..SHAPES).map(|_| Nest { name: "a step", step: waiting(watch, limit), in_place: true });
    plain.chain(every_pattern(|| waiting(watch, limit))).collect()
}

fn shaped(stream: Streaming<BoxStep<Entry, Entry>>, shape: usize, limit: usize) -> Streaming<BoxStep<Entry, Entry>> {
    match shape {
        0 => stream.limit(limit),
        1 => stream.limit(limit).ordered(),
        _ => stream.limit(limit).window(limit),
    }
}

async fn giving_up_the_wait_for_an_outcome_loses_none() {
    let (mut rng, limit) = (Rng::with_seed(1), Limit::new(3));
    let cases = cases(&Watch::default(), &limit);
    let patterns = cases.len();
    for (number, nest) in cases.into_iter().enumerate() {
        let items = share(number, patterns);
        let ledger = Ledger::new(items);
        let stream = accounted(nest.step).stream(ledger.inputs(), &Context::new());
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
            let entry = outcome.result.unwrap();
            assert_eq!(entry.index, outcome.index);
            assert!(number % SHAPES == 0 || outcome.index == expected, "{}: out of order", nest.name);
            expected += 1;
            entry.deliver();
        }
        assert_eq!(ledger.settled(), Some((items, 0)), "{}", nest.name);
    }
    assert_eq!(limit.available(), Some(3));
}

/// Each stream goes on with what the ones before it have left of the source.
async fn inputs_of_streams_that_are_dropped_are_accounted_for() {
    let (mut rng, limit, watch) = (Rng::with_seed(2), Limit::new(3), Watch::default());
    let before = tasks();
    let cases = cases(&watch, &limit);
    let patterns = cases.len();
    for (number, nest) in cases.into_iter().enumerate() {
        let items = share(number, patterns);
        let ledger = Ledger::new(items);
        let (source, step) = (Arc::new(Mutex::new(ledger.inputs())), accounted(nest.step));
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
        until(|| ledger.settled().is_some()).await;
        let (delivered, cancelled) = ledger.settled().unwrap();
        assert!(delivered > items / 20 && cancelled > items / 20, "{}: {delivered}, {cancelled}", nest.name);
    }
    until(|| tasks() <= before).await;
    assert_eq!((watch.alive(), limit.available()), (0, Some(3)));
}

/// Dropped at the first wait, at the second, and so on until it runs to its end; then it is run again.
async fn a_step_can_be_dropped_at_every_await() {
    let before = tasks();
    let patterns = every_pattern(|| waiting(&Watch::default(), &Limit::new(3))).len();
    for pattern in 0..patterns {
        let (limit, watch) = (Limit::new(3), Watch::default());
        let nest = every_pattern(|| waiting(&watch, &limit)).swap_remove(pattern);
        let (mut runs, mut round, mut waits) = (0, 0, 0);
        while runs < ITEMS.div_ceil(patterns) {
            runs += 1;
            match dropped_after(waits, nest.step.run(round, &Context::new())).await {
                None => waits += 1,
                Some(result) => {
                    assert_eq!(result.unwrap(), round, "{}", nest.name);
                    round += 1;
                    waits = 0;
                }
            }
            if nest.in_place {
                assert_eq!((watch.alive(), limit.available()), (0, Some(3)), "{}", nest.name);
            } else if runs % 64 == 0 {
                yield_now().await;
            }
        }
        until(|| tasks() <= before).await;
        assert_eq!((watch.alive(), limit.available()), (0, Some(3)), "{}", nest.name);
        assert_eq!(nest.step.run(7, &Context::new()).await.unwrap(), 7);
    }
}
