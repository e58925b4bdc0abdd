//! Pipeline: stages in sequence, records overlapping across them, measured against the best possible.

use std::time::Duration;

use llmspell::{Context, Limit, PipelineReport, SlowTool, Step, pipeline};

use crate::section::{Section, close_to, ms};

const RECORDS: usize = 3;

/// Three stages of 100, 200 and 150 ms, with a limit for each.
fn flow(limit: impl Fn() -> Limit) -> impl Step<In = usize, Out = usize> {
    let stage = |delay| SlowTool::<usize>::new("work").delay(Duration::from_millis(delay));
    pipeline("ingest")
        .stage("fetch", stage(100))
        .limit(limit())
        .stage("parse", stage(200))
        .limit(limit())
        .stage("store", stage(150))
        .limit(limit())
}

pub async fn run() -> llmspell::Result<Section> {
    let mut section = Section::new("pipeline", "three stages, three records");

    // One record at a time: what a loop with three awaits does.
    let cx = Context::recording();
    flow(Limit::unlimited).stream(0..RECORDS, &cx).limit(1).try_collect().await?;
    let took = section.add("one record at a time", &cx, "");
    let work = analysis(&cx).sequential;
    section.claim(close_to(took, work), format!("as long as all the work in it: {} ms", ms(work)));

    // Overlapping, with as many workers in a stage as there are records.
    let cx = Context::recording();
    flow(Limit::unlimited).stream(0..RECORDS, &cx).ordered().try_collect().await?;
    let took = section.add("overlapping, unlimited stages", &cx, efficiency(&cx));
    let best = analysis(&cx).best;
    section.claim(close_to(took, best), format!("as long as one record: the best possible is {} ms", ms(best)));

    // Overlapping, with one worker in each stage: the slowest stage sets the pace.
    let cx = Context::recording();
    flow(|| Limit::new(1)).stream(0..RECORDS, &cx).ordered().try_collect().await?;
    let took = section.add("overlapping, one worker a stage", &cx, efficiency(&cx));
    let best = analysis(&cx).best;
    section.claim(close_to(took, best), format!("no schedule could do it in less than {} ms", ms(best)));
    let bottleneck = cx.report().bottleneck.map(|path| path.to_string()).unwrap_or_default();
    section.claim(bottleneck.starts_with("ingest.parse"), format!("the bottleneck is found: {bottleneck}"));
    Ok(section)
}

/// What the report says of the pipeline.
fn analysis(cx: &Context) -> PipelineReport {
    cx.report().pipelines.swap_remove(0)
}

fn efficiency(cx: &Context) -> String {
    format!("efficiency {:.1} %", analysis(cx).efficiency * 100.0)
}
