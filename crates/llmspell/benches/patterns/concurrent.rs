//! `try_join` beside `tokio::try_join!`.

use std::hint::black_box;

use llmspell::{Context, Step, step, try_join};

use crate::measure::{Flavour, Row, head};

async fn ready(input: u64) -> llmspell::Result<u64> {
    Ok(black_box(input) + 1)
}

async fn yields(input: u64) -> llmspell::Result<u64> {
    tokio::task::yield_now().await;
    Ok(black_box(input) + 1)
}

pub fn run() {
    head("concurrent", "`tokio::try_join!` over the same three functions");
    let flavour = Flavour::CurrentThread;
    let group = try_join((step(|x, _| ready(x)), step(|x, _| ready(x)), step(|x, _| ready(x))));
    Row { what: "try_join of 3, ready at once", flavour, operations: 200_000, target: None }.compare(
        async |operations| {
            let cx = Context::new();
            for n in 0..operations {
                black_box(group.run(n.into(), &cx).await.expect("nothing fails"));
            }
        },
        async |operations| {
            for n in 0..operations {
                let n = u64::from(n);
                black_box(tokio::try_join!(ready(n), ready(n), ready(n)).expect("nothing fails"));
            }
        },
    );
    let group = try_join((step(|x, _| yields(x)), step(|x, _| yields(x)), step(|x, _| yields(x))));
    Row { what: "try_join of 3, each waits once", flavour, operations: 100_000, target: Some(1.15) }.compare(
        async |operations| {
            let cx = Context::new();
            for n in 0..operations {
                black_box(group.run(n.into(), &cx).await.expect("nothing fails"));
            }
        },
        async |operations| {
            for n in 0..operations {
                let n = u64::from(n);
                black_box(tokio::try_join!(yields(n), yields(n), yields(n)).expect("nothing fails"));
            }
        },
    );
}
