//! Agents and tools put together, in five lessons; each runs what it has built and checks what it claims.
//!
//! `cargo run` prints a page, `cargo run -- --json` the same for machines. Read the lesson you came for:
//! `presets.rs`, `overrides.rs`, `tools.rs`, `settings.rs`, `mistakes.rs`.

mod mistakes;
mod overrides;
mod presets;
mod settings;
mod tools;

use std::process::ExitCode;

use example_page::Page;
use llmspell::Result;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let page = match Page::open("Agents and tools, put together", &arguments) {
        Ok(page) => page,
        Err(code) => return code,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    match runtime.map_err(llmspell::Error::from).and_then(|runtime| runtime.block_on(run(page))) {
        Ok(code) => code,
        Err(error) => example_page::failed(error),
    }
}

async fn run(mut page: Page) -> Result<ExitCode> {
    page.show(presets::run().await?);
    page.show(overrides::run().await?);
    page.show(tools::run().await?);
    page.show(settings::run().await?);
    page.show(mistakes::run()?);
    Ok(page.close())
}
