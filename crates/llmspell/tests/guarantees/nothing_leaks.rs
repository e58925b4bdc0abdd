//! **Nothing leaks**: once work has completed, was dropped, timed out or lost a race, nothing that it started
//! is running.
//!
//! *Hazard*: the caller learns that the work has ended, but it continues: it costs money, holds connections,
//! and writes unexpectedly.
//!
//! *Reports*: <https://github.com/tokio-rs/tokio/issues/1830>,
//! <https://github.com/run-llama/llama_index/issues/22312>, <https://github.com/langchain-ai/langchain/pull/35479>.
//!
//! *Common alternative*: dropping a `JoinHandle` detaches its task. `timeout(join_all(handles))` leaves all of
//! them running; a dropped `map(spawn).buffer_unordered(n)` leaves n (`cargo run -p hazards -- tasks`).
//!
//! *Here* (G6): after any end of any pattern, the numbers of items and tasks are back within 50 ms. Work in the
//! caller's task is dropped before the caller continues. A loser of a race on its own task is cancelled, and
//! the race does not wait for its destructor; the 50 ms apply to it as well.

use std::sync::Arc;
use std::time::Duration;

use llmspell::step::BoxStep;
use llmspell::{Context, Retry, Step, race, step, try_all, try_join, value};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use crate::baseline::{at_most, tasks, until};
use crate::pattern_cases::every_pattern;
use crate::probe::{Probe, Watch, ms, settled_tasks};

on_both_runtimes!(
    nothing_runs_50_ms_after_any_end,
    in_task_work_is_dropped_before_the_caller_continues,
    race_returns_after_its_losers_are_dropped,
    failed_group_returns_after_its_members_are_dropped,
    randomly_dropped_streams_leave_nothing_running,
    take_leaves_nothing_running,
);

const BOUND: Duration = ms(50);

/// Returns a step that takes an hour, unless it is cancelled.
fn endless(watch: &Watch) -> BoxStep<usize, usize> {
    Probe::ok(3_600_000).watched(watch).boxed()
}

fn fails_soon() -> BoxStep<usize, usize> {
    Probe::fails(5, "no").boxed()
}

/// The ways in which work ends before it completes.
#[derive(Clone, Copy, Debug)]
enum End {
    Timeout,
    Dropped,
    RacedAway,
    SiblingOfTupleFailed,
    SiblingOfVectorFailed,
    StreamDropped,
    StreamStopped,
    AttemptsTimedOut,
    FellBack,
}

const ENDS: [End; 9] = [
    End::Timeout,
    End::Dropped,
    End::RacedAway,
    End::SiblingOfTupleFailed,
    End::SiblingOfVectorFailed,
    End::StreamDropped,
    End::StreamStopped,
    End::AttemptsTimedOut,
    End::FellBack,
];

impl End {
    /// Starts `work`, and ends it.
    async fn run(self, work: BoxStep<usize, usize>) {
        let cx = Context::new();
        match self {
            End::Timeout => drop(work.timeout(ms(5)).run(0, &cx).await),
            End::Dropped => drop(timeout(ms(5), work.run(0, &cx)).await),
            End::RacedAway => drop(race((work, Probe::ok(5))).run(0, &cx).await),
            End::SiblingOfTupleFailed => drop(try_join((work, fails_soon())).run(0, &cx).await),
            End::SiblingOfVectorFailed => drop(try_all([work, fails_soon()]).run(0, &cx).await),
            End::StreamDropped => {
                let mut stream = work.stream(0.., &cx).limit(3);
                assert!(timeout(ms(5), stream.next()).await.is_err());
            }
            End::StreamStopped => {
                let mut stream = work.stream(0.., &cx).limit(3).ordered();
                assert!(timeout(ms(5), stream.next()).await.is_err());
                stream.stop().await;
            }
            End::AttemptsTimedOut => {
                drop(work.timeout(ms(5)).retry(Retry::immediately().max_attempts(2)).run(0, &cx).await);
            }
            End::FellBack => drop(work.timeout(ms(5)).fallback(value(1usize)).run(0, &cx).await),
        }
    }
}

async fn nothing_runs_50_ms_after_any_end() {
    for end in ENDS {
        let patterns = every_pattern(|| endless(&Watch::default())).len();
        for pattern in 0..patterns {
            at_most(BOUND, &format!("pattern {pattern}, {end:?}"), move || async move {
                let (watch, before) = (Watch::default(), tasks());
                let case = every_pattern(|| endless(&watch)).swap_remove(pattern);
                end.run(case.step).await;
                let ended = Instant::now();
                if watch.begun() == 0 {
                    // On a very busy machine a task may have ended before it started.
                    return Duration::MAX;
                }
                while watch.alive() > 0 || tasks() > before {
                    assert!(ended.elapsed() < ms(10_000), "{}, {end:?}: leaks", case.name);
                    yield_now().await;
                }
                ended.elapsed()
            })
            .await;
        }
    }
}

async fn in_task_work_is_dropped_before_the_caller_continues() {
    for end in ENDS {
        let watch = Watch::default();
        for case in every_pattern(|| endless(&watch)).into_iter().filter(|case| case.in_place) {
            // These run on their own tasks, not in the task of the caller.
            if matches!(end, End::SiblingOfVectorFailed | End::StreamDropped) {
                continue;
            }
            end.run(case.step).await;
            assert_eq!(watch.alive(), 0, "{}, {end:?}", case.name);
        }
    }
}

async fn race_returns_after_its_losers_are_dropped() {
    let watch = Watch::default();
    for case in every_pattern(|| endless(&watch)).into_iter().filter(|case| case.in_place) {
        let raced = race((case.step, Probe::ok(2))).map(|n| n + 1);
        assert_eq!(raced.run(1, &Context::new()).await.unwrap(), 2);
        assert_eq!(watch.alive(), 0, "{}", case.name);
    }
}

async fn failed_group_returns_after_its_members_are_dropped() {
    for _ in 0..20 {
        let watch = Watch::default();
        let members =
            (0..50).map(|n| if n == 20 { Probe::fails(2, "early") } else { Probe::ok(3_600_000).watched(&watch) });
        let error = try_all(members).run(0, &Context::new()).await.unwrap_err();
        assert_eq!((error.message(), watch.alive()), ("early", 0));
    }
}

async fn randomly_dropped_streams_leave_nothing_running() {
    let (watch, before) = (Watch::default(), tasks());
    for round in 0..200 {
        let seen = watch.clone();
        let work = step(move |n: usize, _| {
            let alive = seen.enter();
            async move {
                for _ in 0..n % 5 {
                    yield_now().await;
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
    until(|| tasks() <= before).await;
    assert_eq!(watch.alive(), 0);
}

async fn take_leaves_nothing_running() {
    let watch = Watch::default();
    let work = Arc::new(Probe::ok(2).watched(&watch));
    for ordered in [false, true] {
        let stream = work.clone().stream(0.., &Context::new()).limit(16).take(5);
        let mut stream = if ordered { stream.ordered() } else { stream };
        let mut taken = 0;
        while stream.next().await.is_some() {
            taken += 1;
        }
        assert_eq!((taken, watch.alive()), (5, 0), "items are dropped before the stream ends");
        assert!(stream.next().await.is_none());
    }
}

/// The same on a paused clock, where nothing is late.
#[tokio::test(start_paused = true)]
async fn panicking_destructor_does_not_keep_workers_alive() {
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
