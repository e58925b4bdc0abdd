//! The losers of a race go on running.
//!
//! `select!` over handles returns with the winner, and detaches the others: they finish, and are paid for.
//!
//! <https://github.com/tokio-rs/tokio/issues/1830>, <https://github.com/llm-d/llm-d-router/issues/646>

use std::time::Duration;

use llmspell::{Context, Step, race, step};
use tokio::time::sleep;

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::live::Live;

pub const HAZARD: Hazard = Hazard {
    name: "tasks_raced",
    measured: "tasks alive of 2, 50 ms after they lost a race",
    unit: "tasks",
    guarantee: Guarantee::AtMost(0.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const QUICK: Duration = Duration::from_millis(20);

async fn by_hand() -> f64 {
    let live = Live::default();
    tokio::select! {
        _ = tokio::spawn(live.clone().endless()) => {}
        _ = tokio::spawn(live.clone().endless()) => {}
        _ = tokio::spawn(sleep(QUICK)) => {}
    }
    live.left().await
}

async fn llmspell() -> f64 {
    let live = Live::default();
    let endless = || {
        let live = live.clone();
        step(move |(), _| {
            let work = live.clone().endless();
            async move {
                work.await;
                Ok(())
            }
        })
        .spawned()
    };
    let quick = step(|(), _| async move {
        sleep(QUICK).await;
        Ok(())
    });
    let _ = race((endless(), endless(), quick.spawned())).run((), &Context::new()).await;
    live.left().await
}
