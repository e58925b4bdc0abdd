//! The differences between two requests, for error messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

/// The number of differences in a message.
const MAX_DIFFERENCES: usize = 3;

/// The length of the excerpt of a text, from where it differs.
const EXCERPT_CHARS: usize = 40;

/// Returns the position of the recorded request that is nearest to this one, and a description of the differences.
pub(super) fn nearest<'a>(
    request: &Value,
    recorded: impl Iterator<Item = (usize, &'a Value)>,
) -> Option<(usize, String)> {
    let (at, mut differences) = recorded
        .map(|(at, recorded)| {
            let mut differences = Vec::new();
            compare("", recorded, request, &mut differences);
            (at, differences)
        })
        .min_by_key(|(_, differences)| differences.iter().map(|difference| difference.weight).sum::<usize>())?;
    let more = differences.len().saturating_sub(MAX_DIFFERENCES);
    differences.truncate(MAX_DIFFERENCES);
    let mut text = differences.into_iter().map(|difference| difference.text).collect::<Vec<_>>().join("; ");
    if more > 0 {
        let _ = write!(text, "; and {more} more differences");
    }
    Some((at, text))
}

struct Difference {
    /// A different text weighs more than a different word in it, or a different option.
    weight: usize,
    text: String,
}

fn compare(path: &str, recorded: &Value, request: &Value, differences: &mut Vec<Difference>) {
    match (recorded, request) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                pair(&path, a.get(key), b.get(key), differences);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for at in 0..a.len().max(b.len()) {
                pair(&format!("{path}[{at}]"), a.get(at), b.get(at), differences);
            }
        }
        _ if recorded == request => {}
        (Value::String(a), Value::String(b)) => {
            let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
            // A few equal characters before the difference show its position.
            let from = same.saturating_sub(EXCERPT_CHARS / 4);
            let text = format!("{path}: {} instead of {}", excerpt(a, from), excerpt(b, from));
            let longest = a.chars().count().max(b.chars().count());
            let end = a.chars().rev().zip(b.chars().rev()).take_while(|(a, b)| a == b).count();
            let shared = (same + end).min(longest);
            differences.push(Difference { weight: 2 + 18 * (longest - shared) / longest.max(1), text });
        }
        _ => {
            let text = format!("{path}: {} instead of {}", short(recorded), short(request));
            differences.push(Difference { weight: 6, text });
        }
    }
}

fn pair(path: &str, recorded: Option<&Value>, request: Option<&Value>, differences: &mut Vec<Difference>) {
    let is_large = |value: Option<&Value>| value.is_some_and(|value| value.is_object() || value.is_array());
    let weight = if is_large(recorded) || is_large(request) { 20 } else { 6 };
    match (recorded, request) {
        (Some(recorded), Some(request)) => compare(path, recorded, request, differences),
        (Some(recorded), None) => {
            differences.push(Difference { weight, text: format!("{path} besides: {}", short(recorded)) });
        }
        (None, Some(request)) => {
            differences.push(Difference { weight, text: format!("no {path}: {}", short(request)) });
        }
        (None, None) => {}
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => excerpt(text, 0),
        other => {
            let text = other.to_string();
            let cut: String = text.chars().take(EXCERPT_CHARS).collect();
            if cut.len() < text.len() { format!("{cut}…") } else { cut }
        }
    }
}

fn excerpt(text: &str, from: usize) -> String {
    let cut: String = text.chars().skip(from).take(EXCERPT_CHARS).collect();
    let before = if from > 0 { "…" } else { "" };
    let after = if text.chars().count() > from + EXCERPT_CHARS { "…" } else { "" };
    format!("{:?}", format!("{before}{cut}{after}"))
}

/// Returns the JSON with sorted keys, independently of the feature `preserve_order` of `serde_json`.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let fields =
                sorted.into_iter().map(|(key, value)| format!("{}:{}", Value::String(key.clone()), canonical(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nearest_request_is_described_by_its_differences() {
        let recorded = [
            json!({ "messages": [{ "text": "Good night." }], "options": {} }),
            json!({ "messages": [{ "text": "It is 9 o'clock. The capital of France?" }], "options": { "seed": 1 } }),
        ];
        let request = json!({ "messages": [{ "text": "It is 9 o'clock. The capital of Spain?" }], "options": {} });
        let (at, text) = nearest(&request, recorded.iter().enumerate()).unwrap();
        assert_eq!(at, 1);
        let expected =
            "messages[0].text: \"…apital of France?\" instead of \"…apital of Spain?\"; options.seed besides: 1";
        assert_eq!(text, expected);
    }

    #[test]
    fn keys_do_not_depend_on_the_order_of_fields() {
        assert_eq!(
            canonical(&json!({ "b": [1, "x"], "a": { "d": null, "c": 0.5 } })),
            r#"{"a":{"c":0.5,"d":null},"b":[1,"x"]}"#
        );
    }
}
