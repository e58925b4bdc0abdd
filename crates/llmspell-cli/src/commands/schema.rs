//! `llmspell schema`: the JSON Schema of flow files.

use crate::exit::{Exit, Failure};
use crate::templates;
use crate::ui::terminal;

/// Prints the schema.
pub(super) fn schema() -> Result<Exit, Failure> {
    terminal::data(&templates::schema_text())?;
    Ok(Exit::Ok)
}
