//! A task that drives the futures stands still while it waits to hand over a result.
//!
//! The usual cure for a busy consumer is a task of its own with a channel. It works until the channel is full: then the
//! task waits in `send`, and no task polls the futures.
//!
//! <https://github.com/spiceai/spiceai/pull/11160>, <https://github.com/sevki/jetstream/issues/713>

use std::time::Duration;

use futures::stream::{self, StreamExt};
use llmspell::{Context, Step, step};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::heartbeat::longest_gap;

pub const HAZARD: Hazard = Hazard {
    name: "busy_driver",
    measured: "the same, with a task that drives the items and a channel",
    unit: "ms",
    guarantee: Guarantee::AtMost(20.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const BUSY: Duration = Duration::from_millis(200);

/// Some take much longer than others.
const fn work(n: u64) -> Duration {
    Duration::from_millis(if n.is_multiple_of(2) { 30 } else { 700 })
}

async fn by_hand() -> f64 {
    longest_gap(|heartbeat| async move {
        let (sender, mut results) = mpsc::channel(1);
        tokio::spawn(async move {
            let call = |n| {
                let heartbeat = heartbeat.clone();
                async move { heartbeat.beat_for(work(n)).await }
            };
            let mut calls = stream::iter(0..).map(call).buffer_unordered(4);
            while let Some(result) = calls.next().await {
                if sender.send(result).await.is_err() {
                    break;
                }
            }
        });
        for _ in 0..6 {
            results.recv().await;
            sleep(BUSY).await;
        }
    })
    .await
}

async fn llmspell() -> f64 {
    longest_gap(|heartbeat| async move {
        let call = step(move |n: u64, _| {
            let heartbeat = heartbeat.clone();
            async move {
                heartbeat.beat_for(work(n)).await;
                Ok(n)
            }
        });
        let mut outcomes = call.stream(0.., &Context::new()).limit(4);
        for _ in 0..6 {
            outcomes.next().await;
            sleep(BUSY).await;
        }
    })
    .await
}
