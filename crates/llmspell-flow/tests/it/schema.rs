//! The schema in the repository is that of the code.

use std::path::Path;

#[test]
fn the_schema_is_not_stale() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/flow.v1.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&llmspell_flow::schema()).unwrap());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == checked_in, "stale: run `UPDATE_SCHEMA=1 cargo test -p llmspell-flow --test it schema`");
}
