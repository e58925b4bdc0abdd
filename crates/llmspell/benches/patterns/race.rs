//! `race` beside `tokio::select!`, and `hedge` beside a timeout.

use std::hint::black_box;
use std::time::Duration;

use llmspell::{Hedge, Step, race, step};

use crate::measure::{Flavour, Row, head};
use crate::work::{each, ready, yields_times};

pub fn run() {
    head("race", "`tokio::select!` over the same three functions, and `tokio::time::timeout` around one");
    let flavour = Flavour::CurrentThread;
    let contenders = race((step(|x, _| ready(x)), step(|x, _| ready(x)), step(|x, _| ready(x))));
    Row { what: "race of 3, ready at once", flavour, operations: 200_000, target: None }.compare(
        async |operations| each(&contenders, operations).await,
        async |operations| {
            for n in 0..u64::from(operations) {
                black_box(tokio::select! { x = ready(n) => x, x = ready(n) => x, x = ready(n) => x })
                    .expect("nothing fails");
            }
        },
    );
    let after = yields_times;
    let contenders =
        race((step(move |x, _| after(3, x)), step(move |x, _| after(1, x)), step(move |x, _| after(2, x))));
    Row { what: "race of 3, the second wins", flavour, operations: 100_000, target: Some(1.15) }.compare(
        async |operations| each(&contenders, operations).await,
        async |operations| {
            for n in 0..u64::from(operations) {
                black_box(tokio::select! { x = after(3, n) => x, x = after(1, n) => x, x = after(2, n) => x })
                    .expect("nothing fails");
            }
        },
    );
    // The first half of a hedge by hand: the call, and the timer of a second one.
    let hedged = step(|x, _| ready(x)).idempotent().hedge(Hedge::at_percentile(95.0));
    Row { what: "hedge at p95, ready at once", flavour, operations: 200_000, target: None }.compare(
        async |operations| each(&hedged, operations).await,
        async |operations| {
            for n in 0..operations {
                let call = tokio::time::timeout(Duration::from_millis(100), ready(n.into()));
                black_box(call.await.expect("in time")).expect("nothing fails");
            }
        },
    );
}
