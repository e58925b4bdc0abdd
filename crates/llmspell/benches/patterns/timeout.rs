//! `timeout`, and the nest of retry, limit and timeout, beside tokio's functions.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use llmspell::{Context, Retry, Step, step};
use tokio::sync::Semaphore;

use crate::measure::{Flavour, Row, head};

const SECOND: Duration = Duration::from_secs(1);

async fn ready(input: u64) -> llmspell::Result<u64> {
    Ok(black_box(input) + 1)
}

async fn yields(input: u64) -> llmspell::Result<u64> {
    tokio::task::yield_now().await;
    Ok(black_box(input) + 1)
}

pub fn run() {
    head("timeout", "`tokio::time::timeout`, `Semaphore::acquire` and a loop");
    let flavour = Flavour::CurrentThread;
    let bounded = step(|x, _| ready(x)).timeout(SECOND);
    Row { what: "timeout, ready at once", flavour, operations: 200_000, target: Some(1.15) }.compare(
        async |operations| {
            let cx = Context::new();
            for n in 0..operations {
                black_box(bounded.run(n.into(), &cx).await.expect("nothing fails"));
            }
        },
        async |operations| {
            for n in 0..operations {
                let output = tokio::time::timeout(SECOND, ready(n.into())).await;
                black_box(output.expect("in time").expect("nothing fails"));
            }
        },
    );
    let bounded = step(|x, _| yields(x)).timeout(SECOND);
    Row { what: "timeout, waits once", flavour, operations: 100_000, target: Some(1.15) }.compare(
        async |operations| {
            let cx = Context::new();
            for n in 0..operations {
                black_box(bounded.run(n.into(), &cx).await.expect("nothing fails"));
            }
        },
        async |operations| {
            for n in 0..operations {
                let output = tokio::time::timeout(SECOND, yields(n.into())).await;
                black_box(output.expect("in time").expect("nothing fails"));
            }
        },
    );

    let nest = step(|x, _| ready(x)).timeout(SECOND).limit(8).retry(Retry::exponential());
    let permits = Arc::new(Semaphore::new(8));
    let by_hand = async |n: u32| {
        for attempt in 1.. {
            let permit = permits.acquire().await.expect("never closed");
            let output = tokio::time::timeout(SECOND, ready(n.into())).await;
            drop(permit);
            match output {
                Ok(Ok(output)) => return output,
                _ if attempt == 3 => break,
                _ => tokio::time::sleep(Duration::from_millis(fastrand::u64(0..100))).await,
            }
        }
        0
    };
    Row { what: "retry(limit(timeout(f)))", flavour, operations: 200_000, target: Some(1.3) }.compare(
        async |operations| {
            let cx = Context::new();
            for n in 0..operations {
                black_box(nest.run(n.into(), &cx).await.expect("nothing fails"));
            }
        },
        async |operations| {
            for n in 0..operations {
                black_box(by_hand(n).await);
            }
        },
    );
}
