//! `race` beside `tokio::select!`, and `hedge` beside a timeout.

use std::hint::black_box;
use std::time::Duration;

use llmspell::{Context, Hedge, Step, race, step};

use crate::measure::{Flavour, Row, head};

async fn ready(input: u64) -> llmspell::Result<u64> {
    Ok(black_box(input) + 1)
}

async fn after(yields: u32, input: u64) -> llmspell::Result<u64> {
    for _ in 0..yields {
        tokio::task::yield_now().await;
    }
    Ok(black_box(input) + 1)
}

pub fn run() {
    head("race", "`tokio::select!` over the same three functions, and `tokio::time::timeout` around one");
    let flavour = Flavour::CurrentThread;
    let contest = race((step(|x, _| ready(x)), step(|x, _| ready(x)), step(|x, _| ready(x))));
    Row { what: "race of 3, ready at once", flavour, operations: 200_000, target: None }.compare(
        async |operations| {
            let cx = Context::new();
            for n in 0..operations {
                black_box(contest.run(n.into(), &cx).await.expect("nothing fails"));
            }
        },
        async |operations| {
            for n in 0..operations {
                let n = u64::from(n);
                black_box(tokio::select! { x = ready(n) => x, x = ready(n) => x, x = ready(n) => x })
                    .expect("nothing fails");
            }
        },
    );
    let contest = race((step(|x, _| after(3, x)), step(|x, _| after(1, x)), step(|x, _| after(2, x))));
    Row { what: "race of 3, the second wins", flavour, operations: 100_000, target: Some(1.15) }.compare(
        async |operations| {
            let cx = Context::new();
            for n in 0..operations {
                black_box(contest.run(n.into(), &cx).await.expect("nothing fails"));
            }
        },
        async |operations| {
            for n in 0..operations {
                let n = u64::from(n);
                black_box(tokio::select! { x = after(3, n) => x, x = after(1, n) => x, x = after(2, n) => x })
                    .expect("nothing fails");
            }
        },
    );
    // The first half of a hedge by hand: the call, and the time after which a second one would start.
    let hedged = step(|x, _| ready(x)).idempotent().hedge(Hedge::at_percentile(95.0));
    Row { what: "hedge at p95, ready at once", flavour, operations: 200_000, target: None }.compare(
        async |operations| {
            let cx = Context::new();
            for n in 0..operations {
                black_box(hedged.run(n.into(), &cx).await.expect("nothing fails"));
            }
        },
        async |operations| {
            for n in 0..operations {
                let call = tokio::time::timeout(Duration::from_millis(100), ready(n.into()));
                black_box(call.await.expect("in time")).expect("nothing fails");
            }
        },
    );
}
