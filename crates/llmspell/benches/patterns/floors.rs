//! The cost of tokio's own primitives: a lower bound for every pattern that uses one.

#![expect(clippy::disallowed_methods, reason = "the floors are written by hand")]

use std::hint::black_box;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use crate::measure::Flavour;
use crate::work::{join_set, ready};

const OPERATIONS: u32 = 100_000;

pub fn run() {
    println!("\n### floors\n\nThe cost of each primitive alone, over work that is ready.\n");
    println!("| primitive | one thread, ns | two workers, ns |\n|---|---|---|");
    row("`JoinSet` loop, at most 64 tasks", async |operations| join_set(operations, 64, ready).await);
    row("`select!` of 3", async |operations| {
        for n in 0..u64::from(operations) {
            let output = tokio::select! { x = ready(n) => x, x = ready(n) => x, x = ready(n) => x };
            black_box(output.expect("nothing fails"));
        }
    });
    row("`try_join!` of 3", async |operations| {
        for n in 0..u64::from(operations) {
            black_box(tokio::try_join!(ready(n), ready(n), ready(n)).expect("nothing fails"));
        }
    });
    let permits = Semaphore::new(8);
    row("`Semaphore::acquire`", async |operations| {
        for _ in 0..operations {
            drop(black_box(permits.acquire().await));
        }
    });
    row("a hop through `mpsc`, 64 places, from task to task", async |operations| {
        let (sender, mut receiver) = mpsc::channel(64);
        tokio::spawn(async move {
            for n in 0..operations {
                if sender.send(n).await.is_err() {
                    break;
                }
            }
        });
        while let Some(n) = receiver.recv().await {
            black_box(n);
        }
    });
    row("`spawn` and its handle", async |operations| {
        for n in 0..operations {
            black_box(tokio::spawn(ready(n.into())).await.expect("no panic").expect("nothing fails"));
        }
    });
    row("`timeout`", async |operations| {
        for n in 0..operations {
            let output = tokio::time::timeout(Duration::from_secs(1), ready(n.into())).await;
            black_box(output.expect("in time").expect("nothing fails"));
        }
    });
}

fn row(what: &str, work: impl AsyncFn(u32)) {
    let [one, two] = Flavour::BOTH.map(|flavour| flavour.cost(OPERATIONS, &work));
    println!("| {what} | {one:.0} | {two:.0} |");
}
