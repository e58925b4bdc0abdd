//! An extension, and what a program can do with it.
//!
//! - `cargo run`: a tour that checks what it claims (`--json` for machines).
//! - `cargo run -- tools`, `cargo run -- run flows/shopping.yaml …`: the whole `llmspell` command, with the extension and
//!   the MCP server in it.
//! - `cargo run -- serve`: the MCP server.
//!
//! Begin with `extension.rs`, then what it brings: `tools.rs`, `model.rs`, `call_counter.rs`; `shop.rs` is the server.

mod call_counter;
mod extension;
mod model;
mod shop;
mod tools;
mod tour;

use std::process::ExitCode;

use example_page::Page;
use llmspell::registry::Registry;
use llmspell::{Context, Result};
use tokio::runtime::Runtime;

use extension::Kitchen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None | Some("--json") => show(&arguments),
        Some("serve") => {
            match Runtime::new().map_err(llmspell::Error::from).and_then(|runtime| runtime.block_on(shop::serve())) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => example_page::failed(error),
            }
        }
        Some(_) => command(),
    }
}

/// The tour.
fn show(arguments: &[String]) -> ExitCode {
    let page = match Page::open("An extension: tools, a model, an event reader, and an MCP server", arguments) {
        Ok(page) => page,
        Err(code) => return code,
    };
    let toured = Runtime::new().map_err(llmspell::Error::from).and_then(|runtime| runtime.block_on(tour::run(page)));
    toured.unwrap_or_else(example_page::failed)
}

/// The command line of `llmspell`, with more in it: this is all that a command of your own needs.
fn command() -> ExitCode {
    let kitchen = Kitchen::new();
    let call_counter = kitchen.call_counter.clone();
    // The connection to the server lives here, so this outlives the run.
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return example_page::failed(error.into()),
    };
    let registry = || -> Result<Registry> {
        let cx = Context::new();
        let shop = runtime.block_on(async { shop::connect(&cx).await?.extension(&cx).await })?;
        Registry::new().with(kitchen)?.with(shop)
    };
    let code = llmspell_cli::main(registry);
    let counted = call_counter.to_string();
    if !counted.is_empty() {
        eprintln!("\n{counted}");
    }
    code
}
