//! Reads the text of a file into its record.

use std::io::{self, Read};
use std::path::Path;

use llmspell::{Context, Error, Result};
use serde_json::{Map, Value};

use super::format::MAX_RECORD;

/// Adds the text of a file to its record.
pub(crate) async fn with_text(mut record: Map<String, Value>, cx: &Context) -> Result<Value> {
    let path = record.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
    let text = cx.blocking(move |_| read(Path::new(&path))).await?;
    record.insert("text".to_owned(), text.into());
    Ok(Value::Object(record))
}

fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        Error::invalid(format!("cannot read {shown}: {error}")).with_hint("check its permissions").with_source(error)
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_RECORD as u64 + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() > MAX_RECORD {
        return Err(Error::invalid(format!("{shown} is larger than {} MiB", MAX_RECORD >> 20)).with_hint("split it"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let message = format!("{shown} is not UTF-8, from byte {} on", error.utf8_error().valid_up_to() + 1);
        Error::invalid(message)
            .with_hint("write it as UTF-8; a flow that declares its `inputs` without `text` takes any file")
    })
}
