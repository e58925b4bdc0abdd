//! `timeout`, `limit`, and the nest of retry, limit and timeout, compared with tokio's functions.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use llmspell::{Retry, Step, step};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::measure::{Flavour, Row, head};
use crate::work::{each, ready, yields};

const SECOND: Duration = Duration::from_secs(1);

pub fn run() {
    head("timeout", "`tokio::time::timeout`, `Semaphore::acquire` and a loop");
    let flavour = Flavour::CurrentThread;
    let bounded = step(|x, _| ready(x)).timeout(SECOND);
    Row { what: "timeout, ready at once", flavour, operations: 200_000, target: Some(1.0) }.compare(
        async |operations| each(&bounded, operations).await,
        async |operations| {
            for n in 0..operations {
                let output = timeout(SECOND, ready(n.into())).await;
                black_box(output.expect("in time").expect("nothing fails"));
            }
        },
    );
    let bounded = step(|x, _| yields(x)).timeout(SECOND);
    Row { what: "timeout, waits once", flavour, operations: 100_000, target: Some(1.15) }.compare(
        async |operations| each(&bounded, operations).await,
        async |operations| {
            for n in 0..operations {
                let output = timeout(SECOND, yields(n.into())).await;
                black_box(output.expect("in time").expect("nothing fails"));
            }
        },
    );

    let permits = Arc::new(Semaphore::new(8));
    let limited = step(|x, _| ready(x)).limit(8);
    Row { what: "limit, a permit is free", flavour, operations: 200_000, target: None }.compare(
        async |operations| each(&limited, operations).await,
        async |operations| {
            for n in 0..operations {
                let _permit = permits.acquire().await.expect("never closed");
                black_box(ready(n.into()).await.expect("nothing fails"));
            }
        },
    );

    let nest = step(|x, _| ready(x)).timeout(SECOND).limit(8).retry(Retry::exponential());
    let by_hand = async |n: u32| {
        for attempt in 1.. {
            let permit = permits.acquire().await.expect("never closed");
            let output = timeout(SECOND, ready(n.into())).await;
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
        async |operations| each(&nest, operations).await,
        async |operations| {
            for n in 0..operations {
                black_box(by_hand(n).await);
            }
        },
    );
}
