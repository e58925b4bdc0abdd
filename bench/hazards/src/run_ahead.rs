//! Work that runs ahead of its consumer piles up.
//!
//! A `JoinSet` bounds nothing by itself: everything is started, and every output is kept until it is joined.
//!
//! <https://github.com/bitcoin-dev-project/sim-ln/pull/221>, <https://github.com/hickory-dns/hickory-dns/pull/1818>

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::{Context, Step, step};
use tokio::task::{JoinSet, yield_now};

use crate::hazard::{Clock, Guarantee, Hazard};

pub const HAZARD: Hazard = Hazard {
    name: "run_ahead",
    measured: "items ahead of the consumer where 16 are wanted",
    unit: "items",
    guarantee: Guarantee::AtMost(16.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const ITEMS: usize = 10_000;

async fn work(n: usize) -> usize {
    yield_now().await;
    n
}

async fn by_hand() -> f64 {
    let mut items: JoinSet<usize> = (0..ITEMS).map(work).collect();
    let (mut delivered, mut ahead) = (0, 0);
    while items.join_next().await.is_some() {
        ahead = ahead.max(ITEMS - delivered);
        delivered += 1;
    }
    ahead as f64
}

async fn llmspell() -> f64 {
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = pulled.clone();
    let source = (0..ITEMS).inspect(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let mut items = step(|n, _| async move { Ok(work(n).await) }).stream(source, &Context::new()).limit(16);
    let (mut delivered, mut ahead) = (0, 0);
    while items.next().await.is_some() {
        ahead = ahead.max(pulled.load(Ordering::Relaxed) - delivered);
        delivered += 1;
    }
    ahead as f64
}
