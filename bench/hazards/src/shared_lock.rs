//! Items and their consumer wait for each other's lock.
//!
//! An item is given the lock, or has it, and is not polled, because the body of the loop waits for that lock. The same
//! happens with the connections of a pool and with the permits of a rate limit.
//!
//! <https://blog.polybdenum.com/2022/07/24/fixing-the-next-thousand-deadlocks-why-buffered-streams-are-broken-and-how-to-make-them-safer.html>,
//! <https://github.com/restatedev/sdk-rust/issues/89>

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use llmspell::{Context, Step, step};
use tokio::sync::Mutex;
use tokio::task::yield_now;

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::heartbeat::within;

pub const HAZARD: Hazard = Hazard {
    name: "shared_lock",
    measured: "items done of 1000 that share a lock with their consumer",
    unit: "items",
    guarantee: Guarantee::AtLeast(1000.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const TIME_LIMIT: Duration = Duration::from_secs(1);

async fn work(lock: Arc<Mutex<u32>>) {
    let mut count = lock.lock().await;
    yield_now().await;
    *count += 1;
}

async fn by_hand() -> f64 {
    let (lock, done) = (Arc::new(Mutex::new(0)), AtomicU32::new(0));
    let all = async {
        let mut items = stream::iter(0..1000).map(|_| work(lock.clone())).buffer_unordered(8);
        while items.next().await.is_some() {
            *lock.lock().await += 1;
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    within(TIME_LIMIT, all).await;
    done.load(Ordering::Relaxed).into()
}

async fn llmspell() -> f64 {
    let (lock, done) = (Arc::new(Mutex::new(0)), AtomicU32::new(0));
    let shared = lock.clone();
    let work = step(move |_: u32, _| {
        let work = work(shared.clone());
        async move {
            work.await;
            Ok(())
        }
    });
    let all = async {
        let mut items = work.stream(0..1000, &Context::new()).limit(8);
        while items.next().await.is_some() {
            *lock.lock().await += 1;
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    within(TIME_LIMIT, all).await;
    done.load(Ordering::Relaxed).into()
}
