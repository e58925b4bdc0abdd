//! Futurelock: a future is next in line for a lock, and no task polls it.
//!
//! The first copy of a call waits for the lock. `select!` turns to another arm, which does the call a second time and
//! gets in line behind the first: that one is given the lock, but it is not polled any more, and not dropped either.
//!
//! <https://rfd.shared.oxide.computer/rfd/0609>, <https://github.com/oxidecomputer/omicron/issues/9259>

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use llmspell::{Context, Hedge, Step, step};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::heartbeat::within;

pub const HAZARD: Hazard = Hazard {
    name: "paused_lock",
    measured: "calls done of 20 that are hedged while they wait for a lock",
    unit: "calls",
    guarantee: Guarantee::AtLeast(20.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const CALLS: u32 = 20;
const TIME_LIMIT: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_millis(3);

async fn call(lock: Arc<Mutex<u32>>) {
    *lock.lock().await += 1;
}

/// Takes the lock, and keeps it for a while.
async fn occupy(lock: &Arc<Mutex<u32>>) {
    let guard = lock.clone().lock_owned().await;
    tokio::spawn(async move {
        sleep(2 * SLOW).await;
        drop(guard);
    });
}

async fn by_hand() -> f64 {
    let lock = Arc::new(Mutex::new(0));
    let mut done = 0;
    for _ in 0..CALLS {
        occupy(&lock).await;
        let twice = async {
            let mut first = pin!(call(lock.clone()));
            tokio::select! {
                () = &mut first => {}
                () = sleep(SLOW) => call(lock.clone()).await,
            }
        };
        if within(TIME_LIMIT / CALLS, twice).await.is_some() {
            done += 1;
        }
    }
    done.into()
}

async fn llmspell() -> f64 {
    let lock = Arc::new(Mutex::new(0));
    let shared = lock.clone();
    let call = step(move |(), _| {
        let call = call(shared.clone());
        async move {
            call.await;
            Ok(())
        }
    });
    let twice = call.idempotent().hedge(Hedge::after(SLOW).max_share(1.0));
    let mut done = 0;
    for _ in 0..CALLS {
        occupy(&lock).await;
        if within(TIME_LIMIT / CALLS, twice.run((), &Context::new())).await.is_some() {
            done += 1;
        }
    }
    done.into()
}
