//! Items stand still while their consumer is busy.
//!
//! `buffer_unordered` polls its futures only while it is polled itself, so everything in flight waits for the body of
//! the loop: connections time out, and the next result is late by what the body took.
//!
//! <https://rust-lang.github.io/wg-async/vision/submitted_stories/status_quo/barbara_battles_buffered_streams.html>,
//! <https://github.com/rust-lang/futures-rs/issues/2387>

use std::time::Duration;

use futures::stream::{self, StreamExt};
use llmspell::{Context, Step, step};
use tokio::time::sleep;

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::heartbeat::longest_gap;

pub const HAZARD: Hazard = Hazard {
    name: "busy_consumer",
    measured: "an item's wait for its turn while the consumer sleeps 200 ms",
    unit: "ms",
    guarantee: Guarantee::AtMost(20.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const BUSY: Duration = Duration::from_millis(200);
const WORK: Duration = Duration::from_millis(300);

async fn by_hand() -> f64 {
    longest_gap(|heartbeat| async move {
        let call = |n: u32| {
            let heartbeat = heartbeat.clone();
            async move {
                heartbeat.beat_for(WORK).await;
                n
            }
        };
        let mut results = stream::iter(0..).map(call).buffer_unordered(4);
        for _ in 0..4 {
            results.next().await;
            sleep(BUSY).await;
        }
    })
    .await
}

async fn llmspell() -> f64 {
    longest_gap(|heartbeat| async move {
        let call = step(move |n: u32, _| {
            let heartbeat = heartbeat.clone();
            async move {
                heartbeat.beat_for(WORK).await;
                Ok(n)
            }
        });
        let mut outcomes = call.stream(0.., &Context::new()).limit(4);
        for _ in 0..4 {
            outcomes.next().await;
            sleep(BUSY).await;
        }
    })
    .await
}
