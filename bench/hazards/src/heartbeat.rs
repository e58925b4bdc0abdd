//! Heartbeats: how long a task waits for its turn, and time limits that count only time in which the machine runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const BEAT: Duration = Duration::from_millis(2);

/// A record of the longest time between two beats of any task that shares it.
#[derive(Clone, Default)]
pub struct Heartbeat(Arc<Mutex<Duration>>);

impl Heartbeat {
    /// Beats until `time` has passed.
    pub async fn beat_for(&self, time: Duration) {
        let started = Instant::now();
        let mut last = started;
        while started.elapsed() < time {
            sleep(BEAT).await;
            let gap = last.elapsed();
            last = Instant::now();
            let mut longest = self.0.lock().expect("nothing panics under the lock");
            *longest = longest.max(gap);
        }
    }

    fn longest_gap(&self) -> Duration {
        *self.0.lock().expect("nothing panics under the lock")
    }
}

/// Returns the output of `work`, or `None` if it is not done within `time`. Time is counted in beats, because a machine
/// that stands still must not fail the work.
pub async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        result = work => Some(result),
        () = beats(time) => None,
    }
}

/// Waits for as many beats as there are in `time`.
pub async fn beats(time: Duration) {
    for _ in 0..time.div_duration_f64(BEAT) as u32 {
        sleep(BEAT).await;
    }
}

/// Returns the longest gap in milliseconds between two beats while `work` runs, less the longest gap of plain tasks
/// beside it, which is the machine's delay.
pub async fn longest_gap<F: Future>(work: impl FnOnce(Heartbeat) -> F) -> f64 {
    let (heartbeat, control) = (Heartbeat::default(), Heartbeat::default());
    let mut plain = JoinSet::new();
    for _ in 0..4 {
        let control = control.clone();
        plain.spawn(async move { control.beat_for(Duration::MAX).await });
    }
    work(heartbeat.clone()).await;
    plain.shutdown().await;
    heartbeat.longest_gap().saturating_sub(control.longest_gap()).as_secs_f64() * 1e3
}
