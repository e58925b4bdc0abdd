//! How long something goes without its turn.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const BEAT: Duration = Duration::from_millis(2);

/// The longest time between two beats of any of those that beat.
#[derive(Clone, Default)]
pub struct Pulse(Arc<Mutex<Duration>>);

impl Pulse {
    /// Beats for some time.
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

/// Waits for `work` for some time, counted in beats: time in which the machine stands still does not count. `None` if
/// the work is not done by then.
pub async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        result = work => Some(result),
        () = beats(time) => None,
    }
}

/// Ends after as many beats as there are in `time`.
pub async fn beats(time: Duration) {
    for _ in 0..time.div_duration_f64(BEAT) as u32 {
        sleep(BEAT).await;
    }
}

/// The longest gap in milliseconds of those that beat while `work` runs, less that of plain tasks beside them: what
/// the machine holds up is nobody's fault.
pub async fn longest_gap<F: Future>(work: impl FnOnce(Pulse) -> F) -> f64 {
    let (pulse, control) = (Pulse::default(), Pulse::default());
    let mut plain = JoinSet::new();
    for _ in 0..4 {
        let control = control.clone();
        plain.spawn(async move { control.beat_for(Duration::MAX).await });
    }
    work(pulse.clone()).await;
    plain.shutdown().await;
    pulse.longest_gap().saturating_sub(control.longest_gap()).as_secs_f64() * 1e3
}
