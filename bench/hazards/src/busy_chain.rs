//! Stages that are chained stand still together.
//!
//! Each buffer of a chain is polled by the one behind it. While the last consumer is busy nothing in the chain is
//! polled, so the stages do not overlap with what they are there for.
//!
//! <https://github.com/rust-lang/futures-rs/pull/2962>, <https://github.com/private-attribution/ipa/issues/867>

use std::time::Duration;

use futures::stream::{self, StreamExt};
use llmspell::{Context, Step, pipeline, step};
use tokio::time::sleep;

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::heartbeat::{Heartbeat, longest_gap};

pub const HAZARD: Hazard = Hazard {
    name: "busy_chain",
    measured: "the same, through two stages",
    unit: "ms",
    guarantee: Guarantee::AtMost(20.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const BUSY: Duration = Duration::from_millis(200);
const WORK: Duration = Duration::from_millis(150);

async fn work(heartbeat: Heartbeat, n: u32) -> u32 {
    heartbeat.beat_for(WORK).await;
    n
}

async fn by_hand() -> f64 {
    longest_gap(|heartbeat| async move {
        let (fetch, parse) = (heartbeat.clone(), heartbeat);
        stream::iter(0..6)
            .map(|n| work(fetch.clone(), n))
            .buffered(4)
            .map(|n| work(parse.clone(), n))
            .buffered(4)
            .take(4)
            .for_each(|_| sleep(BUSY))
            .await;
    })
    .await
}

async fn llmspell() -> f64 {
    longest_gap(|heartbeat| async move {
        let stage = || {
            let heartbeat = heartbeat.clone();
            step(move |n: u32, _| {
                let work = work(heartbeat.clone(), n);
                async move { Ok(work.await) }
            })
        };
        let flow = pipeline("pages").stage("fetch", stage()).limit(4).stage("parse", stage()).limit(4);
        let mut outcomes = flow.stream(0..6, &Context::new()).ordered().take(4);
        while outcomes.next().await.is_some() {
            sleep(BUSY).await;
        }
    })
    .await
}
