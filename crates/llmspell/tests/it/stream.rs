//! Streams: order, early ends, sources and other runtimes. Their guarantees are in `tests/guarantees`.

use std::sync::Arc;

use llmspell::{Context, Error, Step, step};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::probe::{Probe, Watch, ms};

#[tokio::test(start_paused = true)]
async fn outcomes_arrive_as_they_complete() {
    let delays = step(|delay: u64, _| async move {
        sleep(ms(delay)).await;
        Ok(delay)
    });
    let outcomes = delays.stream([300, 100, 200], &Context::new()).collect().await;
    assert_eq!(outcomes.iter().map(|outcome| outcome.index).collect::<Vec<_>>(), [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn ordered_outcomes_arrive_in_input_order() {
    let delays = step(|delay: u64, _| async move {
        sleep(ms(delay)).await;
        Ok(delay)
    });
    let outs = delays.stream([300, 100, 200, 50], &Context::new()).limit(2).ordered().try_collect().await.unwrap();
    assert_eq!(outs, [300, 100, 200, 50]);
}

#[tokio::test(start_paused = true)]
async fn window_lets_items_pass_a_slow_one() {
    let delays = |k: usize| if k == 0 { 1000 } else { 10 };
    let slow_head = move || {
        step(move |k: usize, _| async move {
            sleep(ms(delays(k))).await;
            Ok(k)
        })
    };
    let started = Instant::now();
    slow_head().stream(0..100, &Context::new()).limit(4).window(96).try_collect().await.unwrap();
    assert_eq!(started.elapsed(), ms(1000));

    let started = Instant::now();
    slow_head().stream(0..100, &Context::new()).limit(4).ordered().try_collect().await.unwrap();
    assert!(started.elapsed() > ms(1200), "without a window, the first item blocks the others");
}

#[tokio::test(start_paused = true)]
async fn until_delivers_the_last_and_cancels_the_rest() {
    let watch = Watch::default();
    let probe = Probe::ok(10).watched(&watch);
    let stream = probe.stream(0.., &Context::new()).limit(4).ordered();
    let outcomes = stream.until(|outcome| outcome.result.as_ref().is_ok_and(|n| *n == 6)).collect().await;
    assert_eq!(outcomes.len(), 7);
    assert_eq!(watch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn take_zero_starts_nothing() {
    let watch = Watch::default();
    assert!(Probe::ok(1).watched(&watch).stream(0.., &Context::new()).take(0).collect().await.is_empty());
    assert_eq!(watch.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn first_failure_stops_try_collect() {
    let watch = Watch::default();
    let probe = Arc::new(Probe::ok(100).watched(&watch));
    let picky = step(move |n: usize, cx| {
        let probe = probe.clone();
        async move { if n == 2 { Err(Error::failed("two")) } else { probe.run(n, &cx).await } }
    });
    let error = picky.stream(0..100, &Context::new()).limit(8).try_collect().await.unwrap_err();
    assert_eq!(error.message(), "two");
    assert_eq!((watch.alive(), watch.completed()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn stream_can_be_the_source_of_a_stream() {
    let doubled = Probe::ok(10).stream(0..10, &Context::new()).limit(3).ordered();
    let sum = step(|outcome: llmspell::Outcome<usize>, _| async move { Ok(outcome.result? + 100) });
    let outs = sum.stream(doubled, &Context::new()).ordered().try_collect().await.unwrap();
    assert_eq!(outs, (100..110).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn slow_source_is_polled_to_its_end() {
    let (sender, receiver) = mpsc::channel::<usize>(1);
    let slow_source = SlowSource(receiver);
    let feed = async move {
        for n in 0..5 {
            sleep(ms(100)).await;
            sender.send(n).await.unwrap();
        }
    };
    let collect = Probe::ok(10).stream(slow_source, &Context::new()).collect();
    let ((), outcomes) = tokio::join!(feed, collect);
    assert_eq!(outcomes.len(), 5);
}

struct SlowSource(mpsc::Receiver<usize>);

impl futures_core::Stream for SlowSource {
    type Item = usize;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<usize>> {
        self.0.poll_recv(task)
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_the_context_stops_the_source_and_drains_items_in_flight() {
    let (cx, canceller) = Context::new().cancellable();
    let watch = Watch::default();
    let mut stream = Probe::ok(100).watched(&watch).stream(0.., &cx).limit(4);
    assert!(stream.next().await.is_some());
    canceller.cancel();
    let mut drained = 0;
    while stream.next().await.is_some() {
        drained += 1;
    }
    assert_eq!(watch.begun(), watch.completed());
    assert!((3..=7).contains(&drained), "{drained} drained");
}

#[tokio::test(start_paused = true)]
async fn deadline_of_the_context_bounds_the_stream() {
    let cx = Context::new().with_deadline(Instant::now() + ms(55));
    let watch = Watch::default();
    let outcomes = Probe::ok(10).watched(&watch).stream(0..200, &cx).limit(1).collect().await;
    assert_eq!((outcomes.len(), watch.begun(), watch.completed()), (6, 6, 6));
}

#[tokio::test(start_paused = true)]
async fn ordered_take_starts_only_items_it_delivers() {
    let watch = Watch::default();
    let outcomes = Probe::ok(10).watched(&watch).stream(0.., &Context::new()).ordered().take(3).collect().await;
    assert_eq!((outcomes.len(), watch.begun()), (3, 3));
}

#[test]
fn stream_without_early_end_needs_no_timers() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let numbers = step(|n: usize, _| async move { Ok(n) }).stream(0..100, &Context::new());
    assert_eq!(runtime.block_on(numbers.collect()).len(), 100);
}

#[test]
fn stream_can_move_to_another_runtime() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let mut stream = Probe::ok(5).stream(0..50, &Context::new()).limit(4);
    first.block_on(async { assert!(stream.next().await.unwrap().is_ok()) });
    first.shutdown_timeout(ms(1000));
    let outcomes = second.block_on(async { timeout(ms(20_000), stream.collect()).await.expect("no hang") });
    assert_eq!(outcomes.len(), 49);
    let lost = outcomes.iter().filter(|outcome| !outcome.is_ok()).count();
    assert!(lost <= 8, "{lost} lost, but at most four were in flight and four admitted");
}
