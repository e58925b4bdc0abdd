//! The cost of a name: without sinks, under a recording, and under sinks that follow a run.

use llmspell::internal::SharedFold;
use llmspell::observe::Event;
use llmspell::{Context, Step, pipeline, step};

use crate::measure::{Flavour, Row, head};
use crate::work::{drain, each, each_under, ready};

pub fn run() {
    head("report", "the same step without a name");
    let flavour = Flavour::CurrentThread;
    let (named, plain) = (step(|x, _| ready(x)).named("step"), step(|x, _| ready(x)));
    Row { what: "named, no subscriber", flavour, operations: 200_000, target: None }
        .compare(async |operations| each(&named, operations).await, async |operations| each(&plain, operations).await);
    Row { what: "named, recorded", flavour, operations: 50_000, target: None }.compare(
        async |operations| each_under(&Context::recording(), &named, operations).await,
        async |operations| each(&plain, operations).await,
    );
    follow();
}

/// Records through three stages, of which each reports a start, an end and its passing: 11 events a record.
fn follow() {
    head("follow", "the same run without a sink");
    let records = async |operations: u32, cx: &Context| {
        let stage = || step(|x, _| ready(x));
        let flow = pipeline("flow").stage("a", stage()).stage("b", stage()).stage("c", stage());
        drain(flow.stream(0..u64::from(operations), cx).limit(64)).await;
    };
    for flavour in Flavour::BOTH {
        let quiet = async |operations| records(operations, &Context::new()).await;
        let events = Context::new().with_sink(|_: &Event| {});
        Row { what: "three stages, events to a sink that drops them", flavour, operations: 20_000, target: None }
            .compare(async |operations| records(operations, &events).await, quiet);
        let folded = Context::new().with_sink(SharedFold::default());
        Row { what: "three stages, followed", flavour, operations: 20_000, target: None }
            .compare(async |operations| records(operations, &folded).await, quiet);
    }
}
