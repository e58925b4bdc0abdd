//! A wait that is given up takes with it what it had received.
//!
//! "The next one, and what it takes to handle it" is one future in an arm of `select!`. When another arm is first it is
//! dropped, be it after it has received the item.
//!
//! <https://rfd.shared.oxide.computer/rfd/0400>, <https://github.com/tokio-rs/tokio/pull/5525>

use std::time::Duration;

use futures::stream::poll_fn;
use llmspell::{Context, Step, step};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

use crate::hazard::{Clock, Guarantee, Hazard};

pub const HAZARD: Hazard = Hazard {
    name: "given_up_wait",
    measured: "items lost of 200 by a `select!` loop that also has a clock",
    unit: "items",
    guarantee: Guarantee::AtMost(0.0),
    clock: Clock::Real,
    by_hand: || Box::pin(by_hand()),
    llmspell: || Box::pin(llmspell()),
};

const ITEMS: u32 = 200;

fn inputs() -> mpsc::Receiver<u32> {
    let (sender, inputs) = mpsc::channel(4);
    tokio::spawn(async move {
        for n in 0..ITEMS {
            if sender.send(n).await.is_err() {
                break;
            }
        }
    });
    inputs
}

async fn handle(n: u32) -> u32 {
    sleep(Duration::from_millis(1)).await;
    n
}

async fn by_hand() -> f64 {
    let (mut inputs, mut clock) = (inputs(), interval(Duration::from_millis(3)));
    let mut handled = 0;
    loop {
        let next = async {
            let n = inputs.recv().await?;
            Some(handle(n).await)
        };
        tokio::select! {
            _ = clock.tick() => {} // show progress
            result = next => match result {
                Some(_) => handled += 1,
                None => break,
            },
        }
    }
    f64::from(ITEMS - handled)
}

async fn llmspell() -> f64 {
    let (mut inputs, mut clock) = (inputs(), interval(Duration::from_millis(3)));
    let source = poll_fn(move |task| inputs.poll_recv(task));
    let handle = step(|n: u32, _| async move { Ok(handle(n).await) });
    let mut outcomes = handle.stream(source, &Context::new()).limit(1);
    let mut handled = 0;
    loop {
        tokio::select! {
            _ = clock.tick() => {} // show progress
            outcome = outcomes.next() => match outcome {
                Some(_) => handled += 1,
                None => break,
            },
        }
    }
    f64::from(ITEMS - handled)
}
