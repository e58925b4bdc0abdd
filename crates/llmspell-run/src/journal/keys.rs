//! The keys by which records are recognized.

use serde_json::Value;

use llmspell_flow::internal::Fingerprint;

/// The key of a record, and a hash of its content if the key is only a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) key: [u8; 16],
    pub(crate) content: Option<[u8; 16]>,
}

/// Returns the key of a line: the field that the flow declares, or the whole content. A line without such a field, or
/// a line that is invalid, is its own key.
pub(crate) fn keys(text: Option<&[u8]>, field: Option<&str>) -> Keys {
    // Lines that were too long to be kept share one key: each of them fails in the same way.
    let text = text.unwrap_or_default();
    let declared = field.and_then(|field| {
        let record: Value = serde_json::from_slice(text).ok()?;
        key_of(&record, field)
    });
    of(text, declared)
}

/// The same for a record that is already parsed.
pub(crate) fn keys_of(text: Option<&[u8]>, record: Option<&Value>, field: Option<&str>) -> Keys {
    let declared = field.and_then(|field| key_of(record?, field));
    of(text.unwrap_or_default(), declared)
}

fn key_of(record: &Value, field: &str) -> Option<[u8; 16]> {
    let value = record.get(field).filter(|value| !value.is_null())?;
    Some(Fingerprint::of(value.to_string().as_bytes()).0)
}

fn of(text: &[u8], declared: Option<[u8; 16]>) -> Keys {
    let content = Fingerprint::of(text.trim_ascii()).0;
    match declared {
        Some(key) => Keys { key, content: Some(content) },
        None => Keys { key: content, content: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_field_is_the_key_at_any_position() {
        let one = keys(Some(b"{\"id\": 7, \"q\": 1}"), Some("id"));
        let two = keys(Some(b"{\"q\": 2, \"id\": 7}"), Some("id"));
        assert_eq!(one.key, two.key);
        assert_ne!(one.content, two.content);
        assert_ne!(keys(Some(b"{\"id\": \"7\"}"), Some("id")).key, one.key);
    }

    #[test]
    fn without_it_the_line_is_the_key() {
        let line = keys(Some(b" {\"q\": 1}\t"), None);
        assert_eq!(line, keys(Some(b"{\"q\": 1}"), None));
        for text in ["{\"q\": 1}", "{\"q\": 1, \"id\": null}", "no record"] {
            let keys = keys(Some(text.as_bytes()), Some("id"));
            assert_eq!((keys.key, keys.content), (Fingerprint::of(text.as_bytes()).0, None));
        }
    }
}
