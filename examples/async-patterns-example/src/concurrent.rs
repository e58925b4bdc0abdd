//! Concurrent: three tools that do not need each other run at once.

use std::time::Duration;

use llmspell::{Context, Step, join};
use llmspell_test::FakeTool;

use crate::lag;
use crate::section::Section;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn tool(name: &'static str, delay: Duration) -> FakeTool<String> {
    FakeTool::new(name).delay(delay)
}

pub async fn run() -> llmspell::Result<Section> {
    let mut section = Section::new("concurrent", "three tools at once");
    let tools = || (tool("weather", millis(100)), tool("calendar", millis(300)), tool("search", millis(500)));

    // One after another, as a loop over tool calls does it.
    let cx = Context::recording();
    let (weather, calendar, search) = tools();
    for tool in [weather, calendar, search] {
        tool.run("Oslo".to_owned(), &cx).await?;
    }
    let sequential = section.add("one after another", &cx, "");

    // The same tools, joined: the slowest one sets the time.
    let cx = Context::recording();
    join(tools()).run("Oslo".to_owned(), &cx).await?;
    let concurrent = section.add("join((weather, calendar, search))", &cx, "");

    let speedup = sequential.as_secs_f64() / concurrent.as_secs_f64();
    let best = 900.0 / 500.0;
    // Without the longest delay of the machine, which is not the library's.
    let without_delay = sequential.as_secs_f64() / concurrent.saturating_sub(lag::longest()).as_secs_f64();
    section.claim(
        without_delay >= 1.75,
        format!("{speedup:.2}× faster; these tools allow {best}×, and 1.75× is promised"),
    );
    let report = cx.report();
    section.claim(
        (report.speedup - speedup).abs() < 0.05,
        format!("the report finds the same without the sequential run: {:.2}×", report.speedup),
    );
    Ok(section)
}
