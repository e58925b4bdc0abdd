//! Streams: progress, backpressure, order, early ends, and nothing left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::{Context, Error, Kind, Step, step};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::probe::{Probe, Watch, ms, settled_tasks};

#[tokio::test(start_paused = true)]
async fn outcomes_come_as_they_finish() {
    let delays = step(|delay: u64, _| async move {
        sleep(ms(delay)).await;
        Ok(delay)
    });
    let outcomes = delays.stream([300, 100, 200], &Context::new()).collect().await;
    assert_eq!(outcomes.iter().map(|outcome| outcome.index).collect::<Vec<_>>(), [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn ordered_outcomes_come_in_the_order_of_their_inputs() {
    let delays = step(|delay: u64, _| async move {
        sleep(ms(delay)).await;
        Ok(delay)
    });
    let outs = delays.stream([300, 100, 200, 50], &Context::new()).limit(2).ordered().try_collect().await.unwrap();
    assert_eq!(outs, [300, 100, 200, 50]);
}

/// Hazard: futures' `buffer_unordered` leaves its futures unpolled while the consumer is busy
/// (futures-rs #2387). Here they finish meanwhile.
#[tokio::test(start_paused = true)]
async fn items_make_progress_while_the_consumer_is_busy() {
    let watch = Watch::default();
    let mut stream = Probe::ok(50).watched(&watch).stream(0..8, &Context::new()).limit(4);
    stream.next().await.unwrap();
    sleep(ms(200)).await;
    assert_eq!(watch.completed(), 4, "the consumer has seen one, all four in flight are done");
    assert_eq!(watch.begun(), 4, "and no more were begun without it");
}

/// Hazard: futurelock (Oxide RFD 609). Items and consumer share one lock, and 1000 items finish.
#[tokio::test]
async fn items_and_consumer_may_share_a_lock() {
    let lock = Arc::new(Mutex::new(0));
    let shared = lock.clone();
    let add = step(move |_: usize, _| {
        let lock = shared.clone();
        async move {
            let mut guard = lock.lock().await;
            tokio::task::yield_now().await;
            *guard += 1;
            Ok(())
        }
    });
    let work = async {
        let mut stream = add.stream(0..1000, &Context::new()).limit(8).ordered();
        while stream.next().await.is_some() {
            *lock.lock().await += 1;
        }
    };
    timeout(std::time::Duration::from_secs(20), work).await.expect("no deadlock");
    assert_eq!(*lock.lock().await, 2000);
}

#[tokio::test(start_paused = true)]
async fn the_source_is_pulled_no_further_than_the_limit() {
    for (ordered, window, bound) in [(false, 0, 5), (true, 0, 5), (true, 7, 12)] {
        let pulled = Arc::new(AtomicUsize::new(0));
        let counter = pulled.clone();
        let source = (0..100).inspect(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let mut stream = Probe::ok(10).stream(source, &Context::new()).limit(5);
        if ordered {
            stream = stream.window(window);
        }
        let mut delivered = 0;
        while stream.next().await.is_some() {
            assert!(pulled.load(Ordering::SeqCst) - delivered <= bound);
            sleep(ms(30)).await;
            delivered += 1;
            assert!(pulled.load(Ordering::SeqCst) - delivered <= bound);
            assert_eq!((stream.pulled(), stream.delivered()), (pulled.load(Ordering::SeqCst), delivered));
        }
        assert_eq!(delivered, 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_keeps_a_slow_head_from_stalling_the_rest() {
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
    assert!(started.elapsed() > ms(1200), "without one, the head holds the others up");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_stream_leaves_nothing_running() {
    let watch = Watch::default();
    let mut stream = Probe::ok(100).watched(&watch).stream(0.., &Context::new()).limit(16);
    stream.next().await.unwrap();
    drop(stream);
    assert_eq!(settled_tasks().await, 0);
    assert_eq!(watch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn ending_by_count_leaves_nothing_running() {
    let watch = Watch::default();
    let mut stream = Probe::ok(100).watched(&watch).stream(0.., &Context::new()).limit(16).take(5);
    let mut taken = 0;
    while stream.next().await.is_some() {
        taken += 1;
    }
    assert_eq!((taken, watch.alive()), (5, 0), "gone by the time the stream says that it has ended");
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn ending_by_predicate_delivers_the_last_and_stops_the_rest() {
    let watch = Watch::default();
    let probe = Probe::ok(10).watched(&watch);
    let stream = probe.stream(0.., &Context::new()).limit(4).ordered();
    let outcomes = stream.until(|outcome| outcome.result.as_ref().is_ok_and(|n| *n == 6)).collect().await;
    assert_eq!(outcomes.len(), 7);
    assert_eq!(watch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn taking_nothing_starts_nothing() {
    let watch = Watch::default();
    assert!(Probe::ok(1).watched(&watch).stream(0.., &Context::new()).take(0).collect().await.is_empty());
    assert_eq!(watch.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_until_everything_is_gone() {
    let watch = Watch::default();
    let mut stream = Probe::ok(100).watched(&watch).stream(0.., &Context::new()).limit(16);
    stream.next().await.unwrap();
    stream.stop().await;
    assert_eq!(watch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_outcome_of_its_item() {
    for (limit, ordered) in [(1, false), (4, false), (4, true)] {
        let odd = step(move |n: usize, _| async move {
            assert!(n != 3, "three");
            Ok(n)
        });
        let stream = odd.named("odd").stream(0..8, &Context::new()).limit(limit);
        let mut outcomes = if ordered { stream.ordered() } else { stream }.collect().await;
        outcomes.sort_by_key(|outcome| outcome.index);
        assert_eq!(outcomes.len(), 8);
        for outcome in outcomes {
            match outcome.result {
                Ok(n) => assert_eq!(n, outcome.index),
                Err(error) => {
                    assert_eq!((error.kind(), outcome.index), (Kind::Panicked, 3));
                    assert_eq!(error.message(), "panicked: three");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_the_outcome_of_its_item_and_the_stream_goes_on() {
    let picky = step(|n: usize, _| async move { if n.is_multiple_of(2) { Ok(n) } else { Err(Error::failed("odd")) } });
    let outcomes = picky.stream(0..10, &Context::new()).collect().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    assert_eq!(outcomes.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_stops_try_collect() {
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

/// Hazard: streams that ignore the scheduler's budget never let a timer have its turn.
#[tokio::test]
async fn an_endless_stream_of_ready_items_can_be_timed_out() {
    let count = async {
        let mut stream = step(|n: u64, _| async move { Ok(n) }).stream(0.., &Context::new());
        let mut outcomes = 0u64;
        while stream.next().await.is_some() {
            outcomes += 1;
        }
        outcomes
    };
    assert!(timeout(ms(20), count).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_fed_from_a_stream() {
    let doubled = Probe::ok(10).stream(0..10, &Context::new()).limit(3).ordered();
    let sum = step(|outcome: llmspell::Outcome<usize>, _| async move { Ok(outcome.result? + 100) });
    let outs = sum.stream(doubled, &Context::new()).ordered().try_collect().await.unwrap();
    assert_eq!(outs, (100..110).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_trickles_is_followed() {
    let (sender, receiver) = mpsc::channel::<usize>(1);
    let trickle = Trickle(receiver);
    let feed = async move {
        for n in 0..5 {
            sleep(ms(100)).await;
            sender.send(n).await.unwrap();
        }
    };
    let collect = Probe::ok(10).stream(trickle, &Context::new()).collect();
    let ((), outcomes) = tokio::join!(feed, collect);
    assert_eq!(outcomes.len(), 5);
}

struct Trickle(mpsc::Receiver<usize>);

impl futures_core::Stream for Trickle {
    type Item = usize;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<usize>> {
        self.0.poll_recv(task)
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_the_context_stops_the_source_and_drains_what_is_in_flight() {
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
async fn cancelling_wakes_a_stream_that_waits_for_its_source() {
    let (cx, canceller) = Context::new().cancellable();
    let (_sender, receiver) = mpsc::channel::<usize>(1);
    let mut stream = Probe::ok(1).stream(Trickle(receiver), &cx);
    let (next, ()) = tokio::join!(timeout(ms(1000), stream.next()), async {
        sleep(ms(10)).await;
        canceller.cancel();
    });
    assert!(next.expect("in time").is_none());
}

#[test]
fn a_runtime_that_shuts_down_leaves_no_item_without_an_outcome() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut stream = step(|n: usize, _| async move {
        std::future::pending::<()>().await;
        Ok(n)
    })
    .stream(0..5, &Context::new());
    // The items are started on one runtime, which then goes away.
    runtime.block_on(async { assert!(timeout(ms(20), stream.next()).await.is_err()) });
    runtime.shutdown_timeout(ms(1000));
    let outcomes = other.block_on(async { timeout(ms(5000), stream.collect()).await.expect("no hang") });
    assert_eq!(outcomes.len(), 5);
    for outcome in outcomes {
        assert_eq!(outcome.result.unwrap_err().kind(), Kind::Cancelled);
    }
}

/// Items on several threads, each cancelled or not at random instants: none lost, none twice.
#[test]
fn nothing_is_lost_or_doubled_under_random_cancellation() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        const ITEMS: usize = 100_000;
        let watch = Watch::default();
        let seen = watch.clone();
        let work = step(move |n: usize, _| {
            let alive = seen.enter();
            async move {
                for _ in 0..n % 4 {
                    tokio::task::yield_now().await;
                }
                alive.complete();
                Ok(n)
            }
        });
        let mut stream = work.stream(0..ITEMS, &Context::new()).limit(64);
        let mut seen = vec![false; ITEMS];
        let mut count = 0;
        while count < ITEMS {
            // The wait is given up at random and taken up again: `next` must be cancel-safe.
            let Ok(outcome) = timeout(std::time::Duration::from_micros(fastrand::u64(1..200)), stream.next()).await
            else {
                continue;
            };
            let outcome = outcome.expect("not all have come");
            assert_eq!(outcome.result.unwrap(), outcome.index);
            assert!(!std::mem::replace(&mut seen[outcome.index], true), "{} came twice", outcome.index);
            count += 1;
        }
        assert!(stream.next().await.is_none());
        assert_eq!((watch.begun(), watch.completed(), watch.alive()), (ITEMS, ITEMS, 0));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_dropped_at_random_leave_nothing_running() {
    let watch = Watch::default();
    for round in 0..200 {
        let seen = watch.clone();
        let work = step(move |n: usize, _| {
            let alive = seen.enter();
            async move {
                for _ in 0..n % 5 {
                    tokio::task::yield_now().await;
                }
                alive.complete();
                Ok(n)
            }
        });
        let mut stream = work.stream(0.., &Context::new()).limit(1 + round % 17);
        for _ in 0..round {
            stream.next().await.unwrap();
        }
    }
    assert_eq!(settled_tasks().await, 0);
    assert_eq!(watch.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_context_bounds_the_stream() {
    let cx = Context::new().with_deadline(Instant::now() + ms(55));
    let watch = Watch::default();
    let outcomes = Probe::ok(10).watched(&watch).stream(0..200, &cx).limit(1).collect().await;
    assert_eq!((outcomes.len(), watch.begun(), watch.completed()), (6, 6, 6));
}

#[tokio::test(start_paused = true)]
async fn an_ordered_take_starts_nothing_that_it_will_not_deliver() {
    let watch = Watch::default();
    let outcomes = Probe::ok(10).watched(&watch).stream(0.., &Context::new()).ordered().take(3).collect().await;
    assert_eq!((outcomes.len(), watch.begun()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_destructor_is_the_outcome_of_its_item() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "bomb");
        }
    }
    let armed = step(|n: usize, _| async move {
        let _bomb = (n == 2).then(|| Bomb);
        tokio::task::yield_now().await;
        Ok(n)
    });
    let outcomes = armed.stream(0..20, &Context::new()).limit(4).ordered().collect().await;
    assert_eq!(outcomes.len(), 20);
    for outcome in outcomes {
        assert_eq!(outcome.is_ok(), outcome.index != 2);
    }
}

/// Items that meet: each blocks its thread until the other has come. Neither may be stuck behind the other.
#[test]
fn items_that_block_their_threads_run_at_the_same_time() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let meeting = async {
        let there = Arc::new(AtomicUsize::new(0));
        let meet = step(move |n: usize, _| {
            let there = there.clone();
            async move {
                there.fetch_add(1, Ordering::SeqCst);
                let started = Instant::now();
                // Pairs 0 and 1, 2 and 3, …: the second of each pair lets both go.
                while there.load(Ordering::SeqCst) < (n / 2 + 1) * 2 {
                    std::thread::yield_now();
                    if started.elapsed() > ms(5000) {
                        return Err(Error::failed("nobody came"));
                    }
                }
                Ok(n)
            }
        });
        meet.stream(0..40, &Context::new()).limit(2).ordered().try_collect().await
    };
    assert!(runtime.block_on(meeting).is_ok());
}

#[test]
fn a_stream_without_leftovers_needs_no_timers() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let numbers = step(|n: usize, _| async move { Ok(n) }).stream(0..100, &Context::new());
    assert_eq!(runtime.block_on(numbers.collect()).len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_destructor_that_panics_does_not_keep_the_workers_alive() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "bomb");
        }
    }
    let stream = step(|_: usize, _| async move { Ok(Bomb) }).stream(0..8, &Context::new()).limit(4);
    let mut stream = Box::pin(stream);
    std::mem::forget(stream.next().await);
    sleep(ms(1)).await;
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(stream)));
    assert!(dropped.is_err());
    assert_eq!(settled_tasks().await, 0);
}

#[test]
fn a_stream_can_move_to_another_runtime() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let mut stream = Probe::ok(5).stream(0..50, &Context::new()).limit(4);
    first.block_on(async { assert!(stream.next().await.unwrap().is_ok()) });
    first.shutdown_timeout(ms(1000));
    let outcomes = second.block_on(async { timeout(ms(20_000), stream.collect()).await.expect("no hang") });
    assert_eq!(outcomes.len(), 49);
    let lost = outcomes.iter().filter(|outcome| !outcome.is_ok()).count();
    assert!(lost <= 8, "{lost} lost, when at most four were in flight and four admitted");
}
