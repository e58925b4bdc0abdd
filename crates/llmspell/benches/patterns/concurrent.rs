//! `try_join` beside `tokio::try_join!`.

use std::hint::black_box;

use llmspell::{step, try_join};

use crate::measure::{Flavour, Row, head};
use crate::work::{each, ready, yields};

pub fn run() {
    head("concurrent", "`tokio::try_join!` over the same three functions");
    let flavour = Flavour::CurrentThread;
    let group = try_join((step(|x, _| ready(x)), step(|x, _| ready(x)), step(|x, _| ready(x))));
    Row { what: "try_join of 3, ready at once", flavour, operations: 200_000, target: None }.compare(
        async |operations| each(&group, operations).await,
        async |operations| {
            for n in 0..u64::from(operations) {
                black_box(tokio::try_join!(ready(n), ready(n), ready(n)).expect("nothing fails"));
            }
        },
    );
    let group = try_join((step(|x, _| yields(x)), step(|x, _| yields(x)), step(|x, _| yields(x))));
    Row { what: "try_join of 3, each waits once", flavour, operations: 100_000, target: Some(1.15) }.compare(
        async |operations| each(&group, operations).await,
        async |operations| {
            for n in 0..u64::from(operations) {
                black_box(tokio::try_join!(yields(n), yields(n), yields(n)).expect("nothing fails"));
            }
        },
    );
}
