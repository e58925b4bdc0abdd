//! A thread outlives its timeout, and is no longer counted.
//!
//! Nothing can stop a thread. The timeout frees the caller, the caller gives back its permit and tries again: three
//! attempts, three threads at work, where the semaphore allows one.
//!
//! <https://github.com/tokio-rs/tokio/pull/6571>, <https://github.com/pydantic/pydantic-ai/issues/264>

use std::time::Duration;

use llmspell::{Context, Retry, Step, step};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::live::Live;

pub const HAZARD: Hazard = Hazard {
    name: "thread_timed_out",
    measured: "threads at once under a limit of 1, timed out and retried",
    unit: "threads",
    guarantee: Guarantee::AtMost(1.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const TIME: Duration = Duration::from_millis(20);

fn work(live: &Live) {
    let _alive = live.enter();
    std::thread::sleep(10 * TIME);
}

async fn by_hand() -> f64 {
    let (live, one) = (Live::default(), Semaphore::new(1));
    for _ in 0..3 {
        let _permit = one.acquire().await;
        let live = live.clone();
        if timeout(TIME, tokio::task::spawn_blocking(move || work(&live))).await.is_ok() {
            break;
        }
    }
    live.most_at_once()
}

async fn llmspell() -> f64 {
    let live = Live::default();
    let seen = live.clone();
    let call = step(move |(), cx: Context| {
        let live = seen.clone();
        async move {
            cx.blocking(move |_| {
                work(&live);
                Ok(())
            })
            .await
        }
    });
    // Idempotent: or else there would be no retry beside the runaway at all.
    let call = call.idempotent().limit(1).timeout(TIME).retry(Retry::immediately());
    let _ = call.run((), &Context::new()).await;
    live.most_at_once()
}
