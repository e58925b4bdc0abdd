//! `llmspell schema`: the JSON Schema of flow files.

use crate::exit::{CommandError, Exit};
use crate::templates;
use crate::ui::terminal;

/// Prints the schema.
pub(super) fn schema() -> Result<Exit, CommandError> {
    terminal::data(&templates::schema_text())?;
    Ok(Exit::Ok)
}
