//! A timeout around tasks stops the waiting, not the tasks.
//!
//! Dropping a `JoinHandle` detaches its task. The caller has its error, and the tasks go on to their end.
//!
//! <https://github.com/tokio-rs/tokio/issues/1830>, <https://github.com/run-llama/llama_index/issues/22312>

use std::time::Duration;

use futures::future::join_all;
use llmspell::{Context, Step, all, step};
use tokio::time::timeout;

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::live::Live;

pub const HAZARD: Hazard = Hazard {
    name: "tasks_timed_out",
    measured: "tasks alive of 8, 50 ms after their timeout",
    unit: "tasks",
    guarantee: Guarantee::AtMost(0.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const TIME: Duration = Duration::from_millis(20);

async fn by_hand() -> f64 {
    let live = Live::default();
    let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(live.clone().endless())).collect();
    let _ = timeout(TIME, join_all(tasks)).await;
    live.left().await
}

async fn llmspell() -> f64 {
    let live = Live::default();
    let call = || {
        let live = live.clone();
        step(move |(), _| {
            let work = live.clone().endless();
            async move {
                work.await;
                Ok(())
            }
        })
    };
    let _ = all((0..8).map(|_| call())).timeout(TIME).run((), &Context::new()).await;
    live.left().await
}
