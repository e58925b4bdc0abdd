//! **Many timers** are cheap: a group or a stream of a hundred thousand waits costs as much per wait as a
//! single one.
//!
//! *Hazard*: futures in one task are polled by one task. When its cooperative budget is used up, all remaining
//! futures are polled again at its next turn. Twice as many cost four times as much.
//!
//! *Reports*: <https://github.com/rust-lang/futures-rs/issues/2526>, <https://github.com/rust-lang/futures-rs/pull/2551>,
//! <https://github.com/tokio-rs/tokio/pull/7185>.
//!
//! *Common alternative*: `join_all` and `FuturesUnordered` over some ten thousand timers
//! (`cargo run -p hazards -- timers`).
//!
//! *Here* (G5): draining 100,000 timers that are due at the same time costs at most 2.5 times the CPU time of a
//! task for each, measured in the same run. It costs at most twice as much per timer as an eighth of them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Poll};
use std::time::Duration;

use llmspell::{Context, Step, all, step};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::baseline::cpu_time;
use crate::probe::ms;

on_both_runtimes!(timer_is_polled_only_when_woken);

const MANY: usize = 100_000;

/// A timer that counts its polls.
struct Counted {
    timer: Pin<Box<Sleep>>,
    polls: Arc<AtomicUsize>,
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<()> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.timer.as_mut().poll(task)
    }
}

/// `FuturesUnordered` polls all remaining futures at every turn of its task.
async fn timer_is_polled_only_when_woken() {
    const TIMERS: usize = 20_000;
    for group in [false, true] {
        let polls = Arc::new(AtomicUsize::new(0));
        let (counter, at) = (polls.clone(), Instant::now() + ms(500));
        let wait = step(move |_: usize, _| {
            let timer = Counted { timer: Box::pin(sleep_until(at)), polls: counter.clone() };
            async move {
                timer.await;
                Ok(())
            }
        });
        if group {
            let wait = Arc::new(wait);
            all((0..TIMERS).map(|_| wait.clone())).run(0, &Context::new()).await.unwrap();
        } else {
            wait.stream(0..TIMERS, &Context::new()).limit(TIMERS).collect().await;
        }
        // Two polls, and a third where the task had used up its cooperative budget.
        let polls = polls.load(Ordering::Relaxed);
        assert!(polls <= 3 * TIMERS, "{polls} polls for {TIMERS} timers");
    }
}

/// The ways to drain timers that have all fired.
#[derive(Clone, Copy, Debug)]
enum Runner {
    Stream,
    Group,
    /// A task for each timer, the best alternative.
    JoinSet,
}

fn work(runner: Runner, at: Instant, count: usize) -> Pin<Box<dyn Future<Output = usize>>> {
    let wait = move || {
        step(move |n: usize, _| async move {
            sleep_until(at).await;
            Ok(n)
        })
    };
    let cx = Context::new();
    match runner {
        Runner::Stream => {
            Box::pin(async move { wait().stream(0..count, &cx).limit(count).ordered().collect().await.len() })
        }
        Runner::Group => Box::pin(async move { all((0..count).map(|_| wait())).run(0, &cx).await.unwrap().len() }),
        Runner::JoinSet => {
            Box::pin(async move { (0..count).map(|_| sleep_until(at)).collect::<JoinSet<()>>().join_all().await.len() })
        }
    }
}

/// Returns the CPU time in microseconds per timer, for `count` timers that have fired.
async fn drain(runner: Runner, count: usize) -> f64 {
    let mut lead = ms(20) + Duration::from_micros(3) * u32::try_from(count).unwrap();
    loop {
        let at = Instant::now() + lead;
        let mut work = work(runner, at, count);
        // All timers are admitted and wait.
        if timeout(ms(1), &mut work).await.is_ok() || Instant::now() + ms(5) > at {
            lead *= 2;
            continue;
        }
        #[expect(clippy::disallowed_methods, reason = "nothing may run before all timers are due")]
        std::thread::sleep(at + ms(2) - Instant::now());
        let before = cpu_time();
        assert_eq!(work.await, count);
        return (cpu_time() - before).as_secs_f64() * 1e6 / count as f64;
    }
}

/// Returns the best of three, interleaved, so that a busy machine affects all alike.
fn costs<const N: usize>(cases: [(Runner, usize); N]) -> [f64; N] {
    let mut best = [f64::MAX; N];
    for _ in 0..3 {
        for (best, (runner, count)) in best.iter_mut().zip(cases) {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            *best = best.min(runtime.block_on(drain(runner, count)));
        }
    }
    best
}

/// On one thread, whose CPU time is that of the work alone.
#[test]
fn draining_timers_is_cheap_and_linear() {
    let [tasks] = costs([(Runner::JoinSet, MANY)]);
    for runner in [Runner::Stream, Runner::Group] {
        let [few, many] = costs([(runner, MANY / 8), (runner, MANY)]);
        assert!(many <= 2.0 * few, "{runner:?}: {few} µs for each of an eighth, {many} µs for each of all");
        assert!(many <= 2.5 * tasks, "{runner:?}: {many} µs each, and {tasks} µs as tasks");
    }
}
