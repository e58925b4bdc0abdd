//! After the first failure the others go on.
//!
//! `try_join_all` over tasks returns with the first error, and all the other tasks are detached.
//!
//! <https://github.com/tokio-rs/tokio/issues/1830>, <https://github.com/openai/openai-agents-python/pull/4185>

use std::time::Duration;

use futures::future::try_join_all;
use llmspell::{Context, Error, Step, step, try_all};
use tokio::time::sleep;

use crate::hazard::{Clock, Guarantee, Hazard};
use crate::live::Live;

pub const HAZARD: Hazard = Hazard {
    name: "first_failure",
    measured: "tasks alive of 7, 50 ms after a sibling failed",
    unit: "tasks",
    guarantee: Guarantee::AtMost(0.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const SOON: Duration = Duration::from_millis(20);

async fn by_hand() -> f64 {
    let live = Live::default();
    let call = |n: u32| {
        let work = live.clone().endless();
        async move {
            if n == 3 {
                sleep(SOON).await;
                return Err("three");
            }
            work.await;
            Ok(())
        }
    };
    let tasks = (0..8).map(|n| {
        let task = tokio::spawn(call(n));
        async move { task.await.unwrap_or(Err("panicked")) }
    });
    let _ = try_join_all(tasks).await;
    live.left().await
}

async fn llmspell() -> f64 {
    let live = Live::default();
    let call = |n: u32| {
        let live = live.clone();
        step(move |(), _| {
            let work = live.clone().endless();
            async move {
                if n == 3 {
                    sleep(SOON).await;
                    return Err(Error::failed("three"));
                }
                work.await;
                Ok(())
            }
        })
    };
    let _ = try_all((0..8).map(call)).run((), &Context::new()).await;
    live.left().await
}
