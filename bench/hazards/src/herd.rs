//! Callers that failed together come back together.
//!
//! Exponential waits without jitter send all of them at the same instant, again and again.
//!
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>,
//! <https://github.com/safe-global/safe-client-gateway/pull/3442>

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use llmspell::{Context, Error, Retry, Step, step};
use tokio::time::{Instant, sleep};

use crate::hazard::{Clock, Guarantee, Hazard};

pub const HAZARD: Hazard = Hazard {
    name: "herd",
    measured: "share of 1000 callers back within a fiftieth of their wait",
    unit: "%",
    guarantee: Guarantee::AtMost(5.0),
    clock: Clock::Paused,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const CALLERS: u32 = 1000;
const WINDOW: Duration = Duration::from_secs(50);

/// A service that fails, and notes when it was called.
#[derive(Clone)]
struct Service {
    started: Instant,
    calls: Arc<Mutex<Vec<Duration>>>,
}

impl Service {
    fn new() -> Self {
        Service { started: Instant::now(), calls: Arc::default() }
    }

    fn call(&self) {
        self.calls.lock().expect("nothing panics under the lock").push(self.started.elapsed());
    }

    /// The largest share of the second calls within any fiftieth of the window.
    fn largest_share(&self) -> f64 {
        let mut calls = self.calls.lock().expect("nothing panics under the lock").split_off(CALLERS as usize);
        calls.sort_unstable();
        let together = |first: usize| calls[first..].iter().take_while(|at| **at - calls[first] <= WINDOW / 50).count();
        let most = (0..calls.len()).map(together).max().unwrap_or(0);
        most as f64 / calls.len().max(1) as f64 * 100.0
    }
}

async fn by_hand() -> f64 {
    let service = Service::new();
    let caller = || async {
        for attempt in 0..2 {
            service.call();
            if attempt == 0 {
                sleep(WINDOW * 2u32.pow(attempt)).await;
            }
        }
    };
    join_all((0..CALLERS).map(|_| caller())).await;
    service.largest_share()
}

async fn llmspell() -> f64 {
    let service = Service::new();
    let called = service.clone();
    let call = step(move |_: u32, _| {
        called.call();
        async { Err::<(), _>(Error::failed("busy").transient()) }
    });
    let call = call.retry(Retry::exponential().base(WINDOW).max_wait(WINDOW).max_attempts(2));
    call.stream(0..CALLERS, &Context::new()).limit(CALLERS as usize).collect().await;
    service.largest_share()
}
