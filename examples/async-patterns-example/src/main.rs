//! The five async patterns on tools: each measured, each checking its own claim.
//!
//! `cargo run` prints a page, `cargo run -- --json` the same for machines. The process fails if a claim
//! does not hold. Read the pattern you came for: one file each, `concurrent.rs` to `pipeline.rs`.

mod concurrent;
mod lag;
mod page;
mod pipeline;
mod race;
mod section;
mod stream;
mod timeline;
mod timeout;

use std::process::ExitCode;

use llmspell::step::BoxStep;
use llmspell::{Context, Step, step};

use page::Page;
use section::Section;

fn main() -> ExitCode {
    let json = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--json") => true,
        Some("--help" | "-h") => {
            println!("Shows the five async patterns at work on tools.\n\nUsage: async-patterns-example [--json]");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("error: unknown argument `{other}`\n\nhint: the only one is --json");
            return ExitCode::from(2);
        }
    };
    // One thread is enough: the patterns are about waiting, not about computing.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    match runtime.map_err(llmspell::Error::from).and_then(|runtime| runtime.block_on(run(json))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the sections at once and shows them in order: a stream of steps, like those inside of them.
async fn run(json: bool) -> llmspell::Result<bool> {
    let sections: [BoxStep<(), Section>; 5] = [
        step(|(), _| concurrent::run()).boxed(),
        step(|(), _| stream::run()).boxed(),
        step(|(), _| timeout::run()).boxed(),
        step(|(), _| race::run()).boxed(),
        step(|(), _| pipeline::run()).boxed(),
    ];
    let mut delays = tokio::task::JoinSet::new();
    delays.spawn(lag::watch());
    let page = Page::new(json);
    page.open();
    let mut shown = Vec::new();
    let run_section = step(|section: BoxStep<(), Section>, cx| async move { section.run((), &cx).await });
    let mut finished = run_section.stream(sections, &Context::new()).ordered();
    while let Some(section) = finished.next().await {
        shown.push(page.show(section.result?));
    }
    page.close(&shown)
}
