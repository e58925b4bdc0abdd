//! The cost of a name: without an observer, and under a recording.

use llmspell::{Context, Step, step};

use crate::measure::{Flavour, Row, head};
use crate::work::{each, each_under, ready};

pub fn run() {
    head("report", "the same step without a name");
    let flavour = Flavour::CurrentThread;
    let (named, plain) = (step(|x, _| ready(x)).named("step"), step(|x, _| ready(x)));
    Row { what: "named, nobody watches", flavour, operations: 200_000, target: None }
        .compare(async |operations| each(&named, operations).await, async |operations| each(&plain, operations).await);
    Row { what: "named, recorded", flavour, operations: 50_000, target: None }.compare(
        async |operations| each_under(&Context::recording(), &named, operations).await,
        async |operations| each(&plain, operations).await,
    );
}
