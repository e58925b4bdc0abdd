//! Conversion of the value of an expression to JSON.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::bounded::{ITEM_BYTES, MAX_TOTAL_BYTES};

/// The most levels of nesting. It is above that of any record: reading one is bounded at 128.
const MAX_DEPTH: usize = 256;

/// Returns the value as JSON, or why it cannot be JSON. Bounded, because a hundred thousand references to one large
/// text are small until they are written out.
pub(super) fn json(value: &Value) -> Result<serde_json::Value, String> {
    JsonWriter { remaining: MAX_TOTAL_BYTES }.value(value, MAX_DEPTH)
}

struct JsonWriter {
    /// The bytes that may still follow.
    remaining: usize,
}

impl JsonWriter {
    fn value(&mut self, value: &Value, depth: usize) -> Result<serde_json::Value, String> {
        let text = value.as_str();
        self.reserve(ITEM_BYTES.saturating_add(text.map_or(0, str::len)))?;
        if let Some(text) = text {
            return Ok(text.into());
        }
        let Some(depth) = depth.checked_sub(1) else { return Err("is nested too deeply".to_owned()) };
        match value.kind() {
            ValueKind::Undefined => Err("has a part that is undefined".to_owned()),
            ValueKind::Plain => Err("is a function, not a value; call it: `range(3)`".to_owned()),
            ValueKind::Number if f64::try_from(value.clone()).is_ok_and(|number| !number.is_finite()) => {
                Err(format!("is {value}, which JSON does not have"))
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter().map_err(|error| not_json(&error))?;
                items.map(|item| self.value(&item, depth)).collect()
            }
            ValueKind::Map => {
                let keys = value.try_iter().map_err(|error| not_json(&error))?;
                let entry = |key: Value| {
                    let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                    self.reserve(name.len())?;
                    let entry_value = value.get_item(&key).map_err(|error| not_json(&error))?;
                    Ok((name, self.value(&entry_value, depth)?))
                };
                keys.map(entry).collect::<Result<serde_json::Map<_, _>, String>>().map(Into::into)
            }
            _ => serde_json::to_value(value).map_err(|error| format!("is not a JSON value: {error}")),
        }
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), String> {
        self.remaining =
            self.remaining.checked_sub(bytes).ok_or_else(|| format!("is larger than {} MiB", MAX_TOTAL_BYTES >> 20))?;
        Ok(())
    }
}

fn not_json(error: &minijinja::Error) -> String {
    format!("is not a JSON value: {error}")
}
