//! Where two requests differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

/// How many differences are told.
const TOLD: usize = 3;

/// How much of a text is shown, from where it differs.
const SHOWN: usize = 40;

/// The place of the recorded request that is nearest to this one, and what is different in it, in words.
pub(super) fn nearest<'a>(
    asked: &Value,
    recorded: impl Iterator<Item = (usize, &'a Value)>,
) -> Option<(usize, String)> {
    let (at, mut differences) = recorded
        .map(|(at, recorded)| {
            let mut differences = Vec::new();
            compare("", recorded, asked, &mut differences);
            (at, differences)
        })
        .min_by_key(|(_, differences)| differences.iter().map(|difference| difference.weight).sum::<usize>())?;
    let more = differences.len().saturating_sub(TOLD);
    differences.truncate(TOLD);
    let mut told = differences.into_iter().map(|difference| difference.words).collect::<Vec<_>>().join("; ");
    if more > 0 {
        let _ = write!(told, "; and {more} more differences");
    }
    Some((at, told))
}

struct Difference {
    /// Another text weighs more than another word in it, or another option.
    weight: usize,
    words: String,
}

fn compare(path: &str, recorded: &Value, asked: &Value, differences: &mut Vec<Difference>) {
    match (recorded, asked) {
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
        _ if recorded == asked => {}
        (Value::String(a), Value::String(b)) => {
            let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
            // A little of what is the same tells where it is.
            let from = same.saturating_sub(SHOWN / 4);
            let words = format!("{path}: {} instead of {}", excerpt(a, from), excerpt(b, from));
            let longest = a.chars().count().max(b.chars().count());
            let end = a.chars().rev().zip(b.chars().rev()).take_while(|(a, b)| a == b).count();
            let shared = (same + end).min(longest);
            differences.push(Difference { weight: 2 + 18 * (longest - shared) / longest.max(1), words });
        }
        _ => {
            let words = format!("{path}: {} instead of {}", short(recorded), short(asked));
            differences.push(Difference { weight: 6, words });
        }
    }
}

fn pair(path: &str, recorded: Option<&Value>, asked: Option<&Value>, differences: &mut Vec<Difference>) {
    let is_large = |value: Option<&Value>| value.is_some_and(|value| value.is_object() || value.is_array());
    let weight = if is_large(recorded) || is_large(asked) { 20 } else { 6 };
    match (recorded, asked) {
        (Some(recorded), Some(asked)) => compare(path, recorded, asked, differences),
        (Some(recorded), None) => {
            differences.push(Difference { weight, words: format!("{path} besides: {}", short(recorded)) });
        }
        (None, Some(asked)) => differences.push(Difference { weight, words: format!("no {path}: {}", short(asked)) }),
        (None, None) => {}
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => excerpt(text, 0),
        other => {
            let text = other.to_string();
            let cut: String = text.chars().take(SHOWN).collect();
            if cut.len() < text.len() { format!("{cut}…") } else { cut }
        }
    }
}

fn excerpt(text: &str, from: usize) -> String {
    let cut: String = text.chars().skip(from).take(SHOWN).collect();
    let before = if from > 0 { "…" } else { "" };
    let after = if text.chars().count() > from + SHOWN { "…" } else { "" };
    format!("{:?}", format!("{before}{cut}{after}"))
}

/// The JSON with sorted keys, whether or not `serde_json` keeps the order of fields in this build.
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
    fn the_nearest_is_told_with_what_is_different() {
        let recorded = [
            json!({ "messages": [{ "text": "Good night." }], "options": {} }),
            json!({ "messages": [{ "text": "It is 9 o'clock. The capital of France?" }], "options": { "seed": 1 } }),
        ];
        let asked = json!({ "messages": [{ "text": "It is 9 o'clock. The capital of Spain?" }], "options": {} });
        let (at, told) = nearest(&asked, recorded.iter().enumerate()).unwrap();
        assert_eq!(at, 1);
        let expected =
            "messages[0].text: \"…apital of France?\" instead of \"…apital of Spain?\"; options.seed besides: 1";
        assert_eq!(told, expected);
    }

    #[test]
    fn keys_do_not_depend_on_the_order_of_fields() {
        assert_eq!(
            canonical(&json!({ "b": [1, "x"], "a": { "d": null, "c": 0.5 } })),
            r#"{"a":{"c":0.5,"d":null},"b":[1,"x"]}"#
        );
    }
}
