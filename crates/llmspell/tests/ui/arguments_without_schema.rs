//! The arguments of a tool need a schema.

use llmspell::{Context, Tool};

#[derive(serde::Deserialize)]
struct Search {
    query: String,
}

fn main() {
    let _ = Tool::new("search", "Searches.", |args: Search, _: Context| async move { Ok(args.query) });
}
