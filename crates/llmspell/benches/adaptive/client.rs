//! The client of the simulation: an endless batch under one limit.
//!
//! Each item is retried until it succeeds. Between two attempts it waits for up to two seconds, outside the limit. It
//! counts once, when it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use llmspell::{Context, Limit, Policy, Retry, Step, step};
use tokio::time::{Instant, timeout_at};

use crate::server::Server;

/// Items in flight; more than any limit, so that calls always wait.
const IN_FLIGHT: usize = 320;
/// The timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait between two attempts; each wait is random, from zero to this.
const WAIT: Duration = Duration::from_secs(2);

/// The results of some runs after their warm-up.
#[derive(Default)]
pub struct Score {
    pub done: u64,
    pub calls: u64,
    /// Calls that were rejected or timed out.
    pub rejected: u64,
    /// The times of successful calls, in seconds.
    pub times: Vec<f64>,
}

impl Score {
    pub fn rejected_share(&self) -> f64 {
        self.rejected as f64 / self.calls.max(1) as f64
    }

    pub fn median_time(mut self) -> f64 {
        self.times.sort_by(f64::total_cmp);
        self.times.get(self.times.len() / 2).copied().unwrap_or_default()
    }
}

#[derive(Default)]
struct Counts {
    /// Whether the warm-up is over.
    counting: AtomicBool,
    calls: AtomicU64,
    rejected: AtomicU64,
}

/// A call that counts as rejected unless it is marked as good, because a timeout just drops it.
struct Counted<'a> {
    counts: &'a Counts,
    good: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.counts.counting.load(Ordering::Relaxed) {
            self.counts.calls.fetch_add(1, Ordering::Relaxed);
            self.counts.rejected.fetch_add(u64::from(!self.good), Ordering::Relaxed);
        }
    }
}

/// Runs the batch for `warm_up` and `time`, and adds the results of `time` to `score`.
pub async fn run(server: Arc<Server>, limit: Limit, warm_up: Duration, time: Duration, score: &mut Score) {
    let from = Instant::now() + warm_up;
    let until = from + time;
    let counts = Arc::new(Counts::default());
    let counting = counts.clone();
    let call = step(move |_: u64, cx: Context| {
        let (server, counts) = (server.clone(), counting.clone());
        async move {
            let began = Instant::now();
            let mut counted = Counted { counts: &counts, good: false };
            server.serve(&cx).await?;
            counted.good = true;
            Ok(began.elapsed())
        }
    });
    let retry = Retry::exponential().base(WAIT).max_wait(WAIT).max_attempts(u32::MAX);
    let items = call.policy(Policy::new().retry(retry).limit(limit).timeout(TIMEOUT));

    let mut items = items.stream(0_u64.., &Context::new()).limit(IN_FLIGHT);
    while let Ok(Some(outcome)) = timeout_at(until, items.next()).await {
        if Instant::now() < from {
            continue;
        }
        counts.counting.store(true, Ordering::Relaxed);
        if let Ok(took) = outcome.result {
            score.done += 1;
            score.times.push(took.as_secs_f64());
        }
    }
    // Calls in flight at the end do not count.
    counts.counting.store(false, Ordering::Relaxed);
    score.calls += counts.calls.load(Ordering::Relaxed);
    score.rejected += counts.rejected.load(Ordering::Relaxed);
}
