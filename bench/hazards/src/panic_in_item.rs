//! One item's panic takes the others down with it.
//!
//! It unwinds through the stream that polls the item, so what is in flight and what is still to come has no outcome.
//!
//! <https://github.com/tokio-rs/tokio/pull/6784>, <https://github.com/fortanix/rust-sgx/issues/763>

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use llmspell::{Context, Step, step};
use tokio::task::yield_now;

use crate::hazard::{Clock, Guarantee, Hazard};

pub const HAZARD: Hazard = Hazard {
    name: "panic_in_item",
    measured: "outcomes of 8 items, one of which panics",
    unit: "items",
    guarantee: Guarantee::AtLeast(8.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

async fn work(n: u32) -> u32 {
    yield_now().await;
    assert!(n != 3, "three");
    n
}

async fn by_hand() -> f64 {
    let outcomes = AtomicU32::new(0);
    let all = async {
        let mut results = stream::iter(0..8).map(work).buffer_unordered(4);
        while results.next().await.is_some() {
            outcomes.fetch_add(1, Ordering::Relaxed);
        }
    };
    // As tokio catches it at the edge of the task.
    let _ = AssertUnwindSafe(all).catch_unwind().await;
    outcomes.load(Ordering::Relaxed).into()
}

async fn llmspell() -> f64 {
    let work = step(|n: u32, _| async move { Ok(work(n).await) });
    work.stream(0..8, &Context::new()).limit(4).collect().await.len() as f64
}
