//! Filters with a bound on their input and output. Without one, a record could use all the memory there is.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

/// The most bytes that one filter may produce.
const MAX_BYTES: usize = 64 << 20;

/// The most bytes that all filters of an expression may produce. `map` makes many large values from many references to
/// one.
pub(super) const MAX_TOTAL_BYTES: usize = 4 * MAX_BYTES;

/// The most items of an argument. Repetition (`[1] * n`) costs nothing until something reads its items.
const MAX_ITEMS: usize = 1_000_000;

/// The bytes of an item of a list, whatever it holds.
pub(super) const ITEM_BYTES: usize = size_of::<serde_json::Value>();

/// The bytes that the filters of an expression have produced so far.
struct ProducedBytes(usize);

/// Returns the filter with its bounds.
pub(super) fn bounded(
    name: &'static str,
    filter: Value,
) -> impl Fn(&mut State<'_, '_>, Rest<ValueOrKwargs>) -> Result<Value, Error> {
    move |state, arguments| {
        let arguments = arguments.into_values();
        if arguments.iter().any(|value| value.as_str().is_none() && value.len().is_some_and(|len| len > MAX_ITEMS)) {
            return Err(invalid_operation(format!("`{name}` takes at most {MAX_ITEMS} items")));
        }
        let expected = match name {
            "replace" => replaced_len(&arguments),
            "join" => joined_len(&arguments),
            // Lists are converted to text first.
            "string" | "upper" | "lower" | "title" | "capitalize" | "trim" => arguments
                .first()
                .filter(|value| value.as_str().is_none())
                .map_or(0, |value| written_len(value, MAX_BYTES)),
            _ => 0,
        };
        if expected > MAX_BYTES {
            return Err(invalid_operation(format!("`{name}` would make more than {} MiB", MAX_BYTES >> 20)));
        }
        let value = filter.call(state, &arguments)?;
        let produced = state.get_or_insert_extension(ProducedBytes(0));
        produced.0 = produced.0.saturating_add(size(&value));
        if produced.0 > MAX_TOTAL_BYTES {
            return Err(invalid_operation(format!("the expression makes more than {} MiB", MAX_TOTAL_BYTES >> 20)));
        }
        Ok(value)
    }
}

/// Starts to count anew, for the next expression of a text.
pub(super) fn reset_produced(state: &mut State<'_, '_>) {
    state.get_or_insert_extension(ProducedBytes(0)).0 = 0;
}

fn invalid_operation(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Returns the bytes of a value, without those of the values that it refers to.
fn size(value: &Value) -> usize {
    match value.as_str() {
        Some(text) => text.len(),
        None => value.len().unwrap_or(0).saturating_mul(ITEM_BYTES),
    }
}

/// Returns the length of the result, if the text becomes longer.
fn replaced_len(arguments: &[Value]) -> usize {
    let [Some(text), Some(from), Some(to)] = [0, 1, 2].map(|place| arguments.get(place)?.as_str()) else { return 0 };
    text.matches(from).count().saturating_mul(to.len().saturating_sub(from.len())).saturating_add(text.len())
}

/// Returns an upper bound of the length of the text. The separator may be a named argument (`d=", "`). So may the
/// attribute to join instead of the items: the sizes of the items then mean nothing, but the joined texts are within
/// them.
fn joined_len(arguments: &[Value]) -> usize {
    let Some((items, more)) = arguments.split_first() else { return 0 };
    let named = more.iter().filter(|value| value.as_str().is_none());
    let named = named.filter_map(|value| value.get_attr("d").ok()).filter_map(|value| value.as_str().map(str::len));
    let separator = more.iter().filter_map(|value| value.as_str().map(str::len)).chain(named).max().unwrap_or(0);
    let Ok(items) = items.try_iter() else { return 0 };
    items.fold(0, |sum, item| sum.saturating_add(separator).saturating_add(written_len(&item, MAX_BYTES)))
}

/// Returns the approximate length of a value as text. Counting ends beyond `limit`.
fn written_len(value: &Value, limit: usize) -> usize {
    if let Some(text) = value.as_str() {
        return text.len();
    }
    let Some(items) = value.len().and_then(|_| value.try_iter().ok()) else { return 1 };
    let mut sum = 0usize;
    for item in items {
        let table = value.kind() == ValueKind::Map;
        let entry = value.get_item(&item).ok().filter(|entry| table && !entry.is_undefined());
        sum = sum.saturating_add(item.as_str().map_or(1, str::len));
        sum = sum.saturating_add(entry.map_or_else(|| written_len(&item, limit), |entry| written_len(&entry, limit)));
        if sum > limit {
            break;
        }
    }
    sum
}
