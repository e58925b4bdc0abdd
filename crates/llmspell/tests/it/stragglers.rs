//! Second copies of the last slow items of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use llmspell::observe::{EventKind, ServedBy};
use llmspell::pattern::stream::Stragglers;
use llmspell::{Context, Error, ErrorKind, Outcome, Step, step};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use crate::probe::{Probe, Watch, ms, settled_tasks};

/// Returns a step that takes as long as its input says, but at most 100 ms when an index runs again.
fn uneven(watch: &Watch) -> impl Step<In = (usize, u64), Out = usize> + use<> {
    let (watch, seen) = (watch.clone(), Arc::new(std::sync::Mutex::new(std::collections::HashSet::new())));
    let uneven = step(move |(index, time): (usize, u64), _| {
        let alive = watch.enter();
        let again = !seen.lock().unwrap().insert(index);
        async move {
            sleep(ms(if again { time.min(100) } else { time })).await;
            alive.complete();
            Ok(index)
        }
    });
    uneven.idempotent()
}

/// Returns `items` items of 100 ms, one of which is stuck for a minute.
fn batch(items: usize, stuck: usize) -> impl Iterator<Item = (usize, u64)> + Clone {
    (0..items).map(move |index| (index, if index == stuck { 60_000 } else { 100 }))
}

fn second_copies(outcomes: &[Outcome<usize>]) -> Vec<usize> {
    let by_copy = |outcome: &&Outcome<usize>| {
        outcome.provenance.choices.iter().any(|choice| choice.served_by == ServedBy::Straggler)
    };
    outcomes.iter().filter(by_copy).map(|outcome| outcome.index).collect()
}

#[tokio::test(start_paused = true)]
async fn stuck_item_does_not_delay_the_batch() {
    for ordered in [false, true] {
        let (watch, started) = (Watch::default(), Instant::now());
        let stream = uneven(&watch).stream(batch(100, 93), &Context::new()).limit(10).stragglers(Stragglers::last(3));
        let outcomes = if ordered { stream.ordered().collect().await } else { stream.collect().await };
        // Ten rounds of 100 ms. The stuck item started at 900 ms, was late at 1100 ms, and its copy took 100
        // ms.
        assert_eq!((started.elapsed(), outcomes.len()), (ms(1200), 100));
        assert!(outcomes.iter().all(Outcome::is_ok));
        assert_eq!(second_copies(&outcomes), [93]);
        assert_eq!((watch.begun(), watch.completed(), watch.alive()), (101, 100, 0));
        assert!(!ordered || outcomes.iter().enumerate().all(|(place, outcome)| outcome.index == place));
    }
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn without_stragglers_the_batch_waits() {
    let started = Instant::now();
    uneven(&Watch::default()).stream(batch(100, 93), &Context::new()).limit(10).collect().await;
    assert_eq!(started.elapsed(), ms(60_900));
}

/// In order and without a window, the stuck item prevents further pulls. A source that knows its length reports
/// its end all the same.
#[tokio::test(start_paused = true)]
async fn first_undelivered_item_can_be_the_straggler() {
    let started = Instant::now();
    let stream = uneven(&Watch::default()).stream(batch(100, 90), &Context::new()).limit(10);
    let outcomes = stream.ordered().stragglers(Stragglers::last(1)).collect().await;
    assert_eq!((started.elapsed(), second_copies(&outcomes)), (ms(1200), vec![90]));
}

#[tokio::test(start_paused = true)]
async fn no_copy_starts_before_the_source_has_ended() {
    // All items but the first are done at 1000 ms, and the source ends at 5000 ms.
    struct Slow(usize, std::pin::Pin<Box<tokio::time::Sleep>>);
    impl futures_core::Stream for Slow {
        type Item = (usize, u64);
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            task: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<(usize, u64)>> {
            let me = &mut *self;
            if me.0 == 50 {
                return me.1.as_mut().poll(task).map(|()| None);
            }
            me.0 += 1;
            std::task::Poll::Ready(Some((me.0, if me.0 == 1 { 60_000 } else { 100 })))
        }
    }
    let (cx, watch, started) = (Context::recording(), Watch::default(), Instant::now());
    let source = Slow(0, Box::pin(sleep(ms(5000))));
    uneven(&watch).stream(source, &cx).limit(10).stragglers(Stragglers::last(5)).collect().await;
    assert_eq!((started.elapsed(), watch.begun()), (ms(5100), 51));
    let events = cx.events();
    let event = events.iter().find(|event| matches!(event.fact, EventKind::Straggler { .. })).unwrap();
    assert_eq!((event.at, event.item), (ms(5000), Some(0)));
    assert!(matches!(event.fact, EventKind::Straggler { after, .. } if after == ms(5000)));
}

#[tokio::test(start_paused = true)]
async fn only_the_last_items_get_a_copy() {
    // Five items are stuck, three of which can be copied once the other two are done.
    let watch = Watch::default();
    let stuck = |index: usize| (index, if index >= 20 { 1000 * (index as u64 - 19) } else { 100 });
    let stream = uneven(&watch).stream((0..25).map(stuck), &Context::new()).limit(25);
    let started = Instant::now();
    let outcomes = stream.stragglers(Stragglers::last(3)).collect().await;
    assert_eq!(started.elapsed(), ms(2100));
    assert_eq!((second_copies(&outcomes).len(), watch.begun()), (3, 28));
}

#[tokio::test(start_paused = true)]
async fn share_is_of_all_items_and_at_least_one() {
    for (share, items, most) in [(0.1, 50, 5), (0.001, 50, 1), (1.0, 8, 7)] {
        let watch = Watch::default();
        // All items are stuck except the first.
        let source = (0..items).map(|index| (index, if index == 0 { 100 } else { 10_000 }));
        let stream = uneven(&watch).stream(source, &Context::new()).limit(50);
        stream.stragglers(Stragglers::last_share(share)).collect().await;
        assert!(watch.begun() - items <= most, "{share} of {items}: {}", watch.begun() - items);
    }
}

#[tokio::test(start_paused = true)]
async fn factor_sets_the_threshold() {
    let started = Instant::now();
    let stream = uneven(&Watch::default()).stream(batch(20, 19), &Context::new()).limit(20);
    stream.stragglers(Stragglers::last(1).slower_than(7.5)).collect().await;
    assert_eq!(started.elapsed(), ms(750 + 100));
}

#[tokio::test(start_paused = true)]
async fn no_item_is_late_without_a_median() {
    let watch = Watch::default();
    let stream = uneven(&watch).stream([(0, 500)], &Context::new()).stragglers(Stragglers::last(1));
    assert_eq!((stream.collect().await.len(), watch.begun()), (1, 1));

    let down = Probe::fails(100, "down").watched(&watch).idempotent();
    let outcomes = down.stream(0..5, &Context::new()).limit(1).stragglers(Stragglers::last(5)).collect().await;
    assert_eq!((outcomes.len(), watch.begun()), (5, 6), "failures do not count for the median");
}

#[tokio::test(start_paused = true)]
async fn failed_copy_does_not_fail_the_item() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let step = step(move |(index, time): (usize, u64), _| {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            if call == 10 {
                return Err(Error::failed("the second copy"));
            }
            sleep(ms(time)).await;
            Ok(index)
        }
    });
    let stream = step.idempotent().stream(batch(10, 9), &Context::new()).stragglers(Stragglers::last(1));
    let outcomes = stream.collect().await;
    assert!(outcomes.iter().all(Outcome::is_ok) && second_copies(&outcomes).is_empty());
    assert_eq!(calls.load(Ordering::SeqCst), 11);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_drops_both_copies() {
    let watch = Watch::default();
    let slow = |index: usize| (index, if index == 0 { 100 } else { 60_000 });
    let never = step({
        let watch = watch.clone();
        move |(_, time): (usize, u64), _| {
            let alive = watch.enter();
            async move {
                sleep(ms(time)).await;
                alive.complete();
                Ok(0usize)
            }
        }
    });
    let mut stream =
        never.idempotent().stream((0..4).map(slow), &Context::new()).limit(4).stragglers(Stragglers::last(3));
    assert!(stream.next().await.is_some());
    assert!(tokio::time::timeout(ms(1000), stream.next()).await.is_err());
    assert_eq!((watch.begun(), watch.alive()), (7, 6));
    drop(stream);
    assert_eq!((settled_tasks().await, watch.alive()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn cancelled_work_gets_no_copies() {
    let (cx, canceller) = Context::new().cancellable();
    let watch = Watch::default();
    let slow = |index: usize| (index, if index == 0 { 100 } else { 1000 });
    let mut stream = uneven(&watch).stream((0..4).map(slow), &cx).limit(4).stragglers(Stragglers::last(3));
    assert!(stream.next().await.is_some());
    canceller.cancel();
    assert_eq!((stream.collect().await.len(), watch.begun()), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn panic_is_the_outcome_of_its_item() {
    let bomb = step(|n: usize, _| async move { if n == 3 { panic!("boom") } else { Ok(n) } });
    let outcomes = bomb.idempotent().stream(0..5, &Context::new()).stragglers(Stragglers::last(2)).ordered();
    let outcomes = outcomes.collect().await;
    let kinds: Vec<_> = outcomes.iter().map(|outcome| outcome.result.as_ref().err().map(Error::kind)).collect();
    assert_eq!(kinds, [None, None, None, Some(ErrorKind::Panicked), None]);
}

#[test]
#[should_panic(expected = "declare the step with `.idempotent()`")]
fn step_that_is_not_idempotent_has_no_stragglers() {
    let _ = Probe::ok(1).stream(0..5, &Context::new()).stragglers(Stragglers::last(1));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "before the first poll")]
async fn stragglers_must_be_set_before_the_first_poll() {
    let mut stream = Probe::ok(1).idempotent().stream(0..5, &Context::new());
    stream.next().await;
    let _ = stream.stragglers(Stragglers::last(1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_input_has_one_outcome_and_copies_are_bounded(
        delays in prop::collection::vec((0..40u64, 0..400u64), 0..50),
        limit in 1..12usize,
        window in prop::option::of(0..10usize),
        take in prop::option::of(0..60usize),
        last in 1..8usize,
        factor in 1..5u32,
        consumer_delay in 0..20u64,
        knows_its_length: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async move {
            let (watch, items, ended) = (Watch::default(), delays.len(), Arc::new(AtomicBool::new(false)));
            let runs: Arc<Vec<AtomicUsize>> = Arc::new((0..items).map(|_| AtomicUsize::new(0)).collect());
            let (seen, over) = (watch.clone(), ended.clone());
            // Every third item is slow at first, every seventh panics, every fifth fails.
            let work = step(move |(index, (fast, slow)): (usize, (u64, u64)), _| {
                let alive = seen.enter();
                let run = runs[index].fetch_add(1, Ordering::SeqCst);
                assert!(run == 0 || (run == 1 && over.load(Ordering::SeqCst)), "run {run} of {index}");
                async move {
                    sleep(ms(if run == 0 && index % 3 == 2 { slow } else { fast })).await;
                    assert!(index % 7 != 6, "seventh");
                    alive.complete();
                    if index % 5 == 4 { Err(Error::failed("fifth")) } else { Ok(index) }
                }
            });
            let mut left = delays.into_iter().enumerate();
            // In order, nothing is pulled beyond the number taken: that is an end as well.
            let wanted = take.filter(|_| window.is_some()).unwrap_or(usize::MAX);
            let source = std::iter::from_fn(move || {
                let next = left.next();
                let enough = next.as_ref().is_none_or(|(index, _)| index + 1 == wanted);
                ended.fetch_or(enough, Ordering::SeqCst);
                next
            });
            let cx = Context::new();
            let stream = if knows_its_length {
                work.idempotent().stream(source.collect::<Vec<_>>(), &cx)
            } else {
                work.idempotent().stream(source, &cx)
            };
            let mut stream = stream.limit(limit).stragglers(Stragglers::last(last).slower_than(factor.into()));
            if let Some(window) = window {
                stream = stream.window(window);
            }
            if let Some(take) = take {
                stream = stream.take(take);
            }
            let mut indices = Vec::new();
            while let Some(outcome) = stream.next().await {
                match &outcome.result {
                    Ok(index) => assert_eq!(*index, outcome.index),
                    Err(error) => {
                        // If both copies fail, both failures are kept.
                        let error = error.causes().first().unwrap_or(error);
                        match outcome.index % 7 {
                            6 => assert_eq!(error.kind(), ErrorKind::Panicked),
                            _ => assert_eq!((error.message(), outcome.index % 5), ("fifth", 4)),
                        }
                    }
                }
                indices.push(outcome.index);
                sleep(ms(consumer_delay)).await;
            }
            assert_eq!(watch.alive(), 0, "nothing runs after the end");
            assert!(watch.begun() <= items + last, "{} copies", watch.begun() - items);
            assert_eq!(indices.len(), items.min(take.unwrap_or(usize::MAX)));
            assert!(window.is_none() || indices.is_sorted(), "{indices:?}");
            indices.sort_unstable();
            indices.dedup();
            assert_eq!(indices.len(), items.min(take.unwrap_or(usize::MAX)), "no index is duplicated");
            drop(stream);
            assert_eq!(settled_tasks().await, 0);
        });
    }
}
