//! A stream of tasks that is dropped leaves its tasks running.
//!
//! To give items a task each is the cure for items that stand still, and the next hazard: a loop that ends early
//! leaves the tasks behind.
//!
//! <https://github.com/tokio-rs/tokio/issues/1830>, <https://github.com/langchain-ai/langchain/pull/35479>

use std::time::Duration;

use futures::stream::{self, StreamExt};
use llmspell::{Context, Step, step};
use tokio::time::timeout;

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::live::Live;

pub const HAZARD: Hazard = Hazard {
    name: "tasks_dropped",
    measured: "tasks alive of 4, 50 ms after their stream was dropped",
    unit: "tasks",
    guarantee: Guarantee::AtMost(0.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const TIME: Duration = Duration::from_millis(20);

async fn by_hand() -> f64 {
    let live = Live::default();
    {
        let spawn = |_| tokio::spawn(live.clone().endless());
        let mut results = stream::iter(0..100).map(spawn).buffer_unordered(4);
        let _ = timeout(TIME, results.next()).await;
    }
    live.left().await
}

async fn llmspell() -> f64 {
    let live = Live::default();
    {
        let seen = live.clone();
        let call = step(move |_: u32, _| {
            let work = seen.clone().endless();
            async move {
                work.await;
                Ok(())
            }
        });
        let mut outcomes = call.stream(0..100, &Context::new()).limit(4);
        let _ = timeout(TIME, outcomes.next()).await;
    }
    live.left().await
}
