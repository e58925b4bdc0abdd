//! How many are alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use crate::heartbeat::beats;

#[derive(Clone, Default)]
pub struct Live(Arc<[AtomicUsize; 2]>);

impl Live {
    /// Counts for as long as the returned value lives.
    pub fn enter(&self) -> Alive {
        let now = self.0[0].fetch_add(1, Ordering::SeqCst) + 1;
        self.0[1].fetch_max(now, Ordering::SeqCst);
        Alive(self.clone())
    }

    /// Is alive for an hour, unless it is stopped.
    pub async fn endless(self) {
        let _alive = self.enter();
        sleep(Duration::from_secs(3600)).await;
    }

    /// Returns how many are alive after 50 ms, counted in beats, because the machine may stand still.
    pub async fn left(&self) -> f64 {
        beats(Duration::from_millis(50)).await;
        self.0[0].load(Ordering::SeqCst) as f64
    }

    pub fn most_at_once(&self) -> f64 {
        self.0[1].load(Ordering::SeqCst) as f64
    }
}

pub struct Alive(Live);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0[0].fetch_sub(1, Ordering::SeqCst);
    }
}
