//! Pipeline: stages in sequence, records overlapping across them, measured against the best possible.

use std::time::Duration;

use llmspell::observe::PipelineReport;
use llmspell::{Context, Limit, Step, pipeline};
use llmspell_test::FakeTool;

use crate::section::{Section, close_to, ms};

const RECORDS: u32 = 3;

/// The time of each stage.
const STAGES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(150)];

/// The three stages, with a limit for each.
fn flow(limit: impl Fn() -> Limit) -> impl Step<In = u32, Out = u32> {
    let stage = |delay| FakeTool::<u32>::new("work").delay(delay);
    let [fetch, parse, store] = STAGES.map(stage);
    pipeline("ingest")
        .stage("fetch", fetch)
        .limit(limit())
        .stage("parse", parse)
        .limit(limit())
        .stage("store", store)
        .limit(limit())
}

pub async fn run() -> llmspell::Result<Section> {
    let mut section = Section::new("pipeline", "three stages, three records");

    // One record at a time: what a loop with three awaits does.
    let cx = Context::recording();
    flow(Limit::unlimited).stream(0..RECORDS, &cx).limit(1).try_collect().await?;
    let took = section.add("one record at a time", &cx, "");
    let record: Duration = STAGES.iter().sum();
    let work = record * RECORDS;
    section.claim(close_to(took, work), format!("as long as all the work in it: {} ms", ms(work)));

    // Overlapping, with as many workers in a stage as there are records.
    let cx = Context::recording();
    flow(Limit::unlimited).stream(0..RECORDS, &cx).ordered().try_collect().await?;
    let took = section.add("overlapping, unlimited stages", &cx, efficiency(&cx));
    section.claim(close_to(took, record), format!("as long as one record, {} ms: it cannot be faster", ms(record)));

    // Overlapping, with one worker in each stage: the slowest stage sets the pace.
    let cx = Context::recording();
    flow(|| Limit::new(1)).stream(0..RECORDS, &cx).ordered().try_collect().await?;
    let took = section.add("overlapping, one worker a stage", &cx, efficiency(&cx));
    let slowest = STAGES.iter().max().copied().unwrap_or_default();
    let best = record + slowest * (RECORDS - 1);
    section.claim(close_to(took, best), format!("the slowest stage sets the pace: {} ms, and no less", ms(best)));
    let bottleneck = cx.report().bottleneck.map(|path| path.to_string()).unwrap_or_default();
    section.claim(bottleneck.starts_with("ingest.parse"), format!("the bottleneck is found: {bottleneck}"));
    Ok(section)
}

/// Returns the pipeline's part of the report.
fn analysis(cx: &Context) -> PipelineReport {
    cx.report().pipelines.swap_remove(0)
}

fn efficiency(cx: &Context) -> String {
    format!("efficiency {:.1} %", analysis(cx).efficiency * 100.0)
}
