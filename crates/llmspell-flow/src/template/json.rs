//! From what an expression gives to JSON.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::bounded::{ITEM, MOST};

/// Deeper than any record can be: those are read with a bound of 128.
const DEEPEST: usize = 256;

/// The value as JSON, or why there is none. Bounded, since a hundred thousand references to one large text are small
/// until they are written out.
pub(super) fn json(value: &Value) -> Result<serde_json::Value, String> {
    Writing { left: MOST }.value(value, DEEPEST)
}

struct Writing {
    /// How many bytes may follow.
    left: usize,
}

impl Writing {
    fn value(&mut self, value: &Value, depth: usize) -> Result<serde_json::Value, String> {
        let text = value.as_str();
        self.spend(ITEM.saturating_add(text.map_or(0, str::len)))?;
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
                let items = value.try_iter().map_err(|error| plain(&error))?;
                items.map(|item| self.value(&item, depth)).collect()
            }
            ValueKind::Map => {
                let keys = value.try_iter().map_err(|error| plain(&error))?;
                let entry = |key: Value| {
                    let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                    self.spend(name.len())?;
                    let part = value.get_item(&key).map_err(|error| plain(&error))?;
                    Ok((name, self.value(&part, depth)?))
                };
                keys.map(entry).collect::<Result<serde_json::Map<_, _>, String>>().map(Into::into)
            }
            _ => serde_json::to_value(value).map_err(|error| format!("is no JSON value: {error}")),
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| format!("is larger than {} MiB", MOST >> 20))?;
        Ok(())
    }
}

fn plain(error: &minijinja::Error) -> String {
    format!("is no JSON value: {error}")
}
