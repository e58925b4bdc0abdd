//! What a name costs: with nobody watching, and under a recording.

use std::hint::black_box;

use llmspell::{Context, Step, step};

use crate::measure::{Flavour, Row, head};

async fn ready(input: u64) -> llmspell::Result<u64> {
    Ok(black_box(input) + 1)
}

pub fn run() {
    head("report", "the same step without a name");
    let flavour = Flavour::CurrentThread;
    let (named, plain) = (step(|x, _| ready(x)).named("step"), step(|x, _| ready(x)));
    let by_hand = async |operations: u32| {
        let cx = Context::new();
        for n in 0..operations {
            black_box(plain.run(n.into(), &cx).await.expect("nothing fails"));
        }
    };
    Row { what: "named, nobody watches", flavour, operations: 200_000, target: None }.compare(
        async |operations| {
            let cx = Context::new();
            for n in 0..operations {
                black_box(named.run(n.into(), &cx).await.expect("nothing fails"));
            }
        },
        by_hand,
    );
    Row { what: "named, recorded", flavour, operations: 50_000, target: None }.compare(
        async |operations| {
            let cx = Context::recording();
            for n in 0..operations {
                black_box(named.run(n.into(), &cx).await.expect("nothing fails"));
            }
        },
        by_hand,
    );
}
