//! Filters with a bound on what they take and make: without one, a record could take all the memory there is.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

/// What one filter may make.
const LARGEST: usize = 64 << 20;

/// What all filters of an expression may make. `map` gives many large values from many references to one.
pub(super) const MOST: usize = 4 * LARGEST;

/// How many items a filter may be given. Repetition (`[1] * n`) costs nothing until somebody looks at it.
const ITEMS: usize = 1_000_000;

/// What an item of a list takes, whatever it is.
pub(super) const ITEM: usize = size_of::<serde_json::Value>();

/// What the filters of an expression have made so far.
struct Made(usize);

/// The filter with its bounds.
pub(super) fn bounded(
    name: &'static str,
    filter: Value,
) -> impl Fn(&mut State<'_, '_>, Rest<ValueOrKwargs>) -> Result<Value, Error> {
    move |state, arguments| {
        let arguments = arguments.into_values();
        if arguments.iter().any(|value| value.as_str().is_none() && value.len().is_some_and(|len| len > ITEMS)) {
            return Err(refused(format!("`{name}` takes at most {ITEMS} items")));
        }
        let foreseen = match name {
            "replace" => replaced(&arguments),
            "join" => joined(&arguments),
            // Lists are written out first.
            "string" | "upper" | "lower" | "title" | "capitalize" | "trim" => {
                arguments.first().filter(|value| value.as_str().is_none()).map_or(0, |value| written(value, LARGEST))
            }
            _ => 0,
        };
        if foreseen > LARGEST {
            return Err(refused(format!("`{name}` would make more than {} MiB", LARGEST >> 20)));
        }
        let value = filter.call(state, &arguments)?;
        let made = state.get_or_insert_extension(Made(0));
        made.0 = made.0.saturating_add(size(&value));
        if made.0 > MOST {
            return Err(refused(format!("the expression makes more than {} MiB", MOST >> 20)));
        }
        Ok(value)
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// What a value takes, without what it refers to.
fn size(value: &Value) -> usize {
    match value.as_str() {
        Some(text) => text.len(),
        None => value.len().unwrap_or(0).saturating_mul(ITEM),
    }
}

/// How long the text becomes, if it becomes longer.
fn replaced(arguments: &[Value]) -> usize {
    let [Some(text), Some(from), Some(to)] = [0, 1, 2].map(|place| arguments.get(place)?.as_str()) else { return 0 };
    text.matches(from).count().saturating_mul(to.len().saturating_sub(from.len())).saturating_add(text.len())
}

/// No less than the length of the text. The separator may be named (`d=", "`), and so may be the attribute that is
/// joined instead of the items; then the sizes of the items say nothing, but the joined texts are within them.
fn joined(arguments: &[Value]) -> usize {
    let Some((items, more)) = arguments.split_first() else { return 0 };
    let named = more.iter().filter(|value| value.as_str().is_none());
    let named = named.filter_map(|value| value.get_attr("d").ok()).filter_map(|value| value.as_str().map(str::len));
    let separator = more.iter().filter_map(|value| value.as_str().map(str::len)).chain(named).max().unwrap_or(0);
    let Ok(items) = items.try_iter() else { return 0 };
    items.fold(0, |sum, item| sum.saturating_add(separator).saturating_add(written(&item, LARGEST)))
}

/// About how long a value is when it is written; counting ends beyond `most`.
fn written(value: &Value, most: usize) -> usize {
    if let Some(text) = value.as_str() {
        return text.len();
    }
    let Some(items) = value.len().and_then(|_| value.try_iter().ok()) else { return 1 };
    let mut sum = 0usize;
    for item in items {
        let table = value.kind() == ValueKind::Map;
        let part = value.get_item(&item).ok().filter(|part| table && !part.is_undefined());
        sum = sum.saturating_add(item.as_str().map_or(1, str::len));
        sum = sum.saturating_add(part.map_or_else(|| written(&item, most), |part| written(&part, most)));
        if sum > most {
            break;
        }
    }
    sum
}
