//! Secrets: read from the environment, used in the arguments of tools, and taken out of everything that comes back.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;

use llmspell::{Error, Outcome};
use serde_json::Value;

/// The secrets of a flow.
#[derive(Default)]
pub(crate) struct Secrets {
    values: BTreeMap<String, String>,
}

/// What stands in for a secret.
const MASK: &str = "***";

/// Shorter ones are found in any text by chance.
const SHORTEST: usize = 4;

impl Secrets {
    /// The environment variables of these names; also those that are not there.
    pub(crate) fn read<'a>(names: impl IntoIterator<Item = &'a str>) -> (Self, Vec<&'a str>) {
        let (mut values, mut missing) = (BTreeMap::new(), Vec::new());
        for name in names {
            match std::env::var(name) {
                Ok(value) if !value.is_empty() => {
                    values.insert(name.to_owned(), value);
                }
                _ => missing.push(name),
            }
        }
        (Secrets { values }, missing)
    }

    /// As templates see them.
    pub(crate) fn view(&self) -> minijinja::Value {
        minijinja::Value::from(self.values.clone())
    }

    /// Whether there are none.
    pub(crate) fn are_none(&self) -> bool {
        self.values.is_empty()
    }

    /// The name of one that stands in a text.
    pub(crate) fn found_in(&self, text: &str) -> Option<&str> {
        let mut secrets = self.values.iter();
        secrets
            .find(|(_, secret)| written(secret).iter().any(|secret| is_in(secret, text)))
            .map(|(name, _)| name.as_str())
    }

    /// Takes them out of an outcome: servers repeat in their answers what they were sent.
    pub(crate) fn scrub_outcome(&self, outcome: &mut Outcome<Value>) {
        match &mut outcome.result {
            Ok(value) => self.scrub(value),
            Err(error) => self.scrub_error(error),
        }
        outcome.causes.iter_mut().for_each(|cause| self.scrub_error(cause));
    }

    /// The rest of it stays: where it happened, how often it was tried, and whether it may be tried again.
    fn scrub_error(&self, error: &mut Error) {
        let (message, hint) = (self.text(error.message()), error.hint().and_then(|hint| self.text(hint)));
        let mut causes = error.causes().to_vec();
        causes.iter_mut().for_each(|cause| self.scrub_error(cause));
        let mut scrubbed = error.clone();
        if !causes.is_empty() {
            scrubbed = scrubbed.with_causes(causes);
        }
        let tells = message.is_some() || hint.is_some();
        if let Some(message) = message {
            scrubbed = scrubbed.with_message(message);
        }
        if let Some(hint) = hint {
            scrubbed = scrubbed.with_hint(hint);
        }
        if let Some(source) = error.source()
            && (tells || self.are_in_source(source))
        {
            // What else it holds may be the secret, too.
            let masked = Masked(scrubbed.message().to_owned());
            scrubbed = scrubbed.with_source(masked);
        }
        *error = scrubbed;
    }

    fn are_in_source(&self, source: &(dyn StdError + 'static)) -> bool {
        let mut next = Some(source);
        while let Some(error) = next {
            if self.found_in(&format!("{error} {error:?}")).is_some() {
                return true;
            }
            next = error.source();
        }
        false
    }

    fn scrub(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(scrubbed) = self.text(text) {
                    *text = scrubbed;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.scrub(item)),
            Value::Object(fields) => {
                fields.iter_mut().for_each(|(_, field)| self.scrub(field));
                if fields.keys().any(|key| self.text(key).is_some()) {
                    let all = std::mem::take(fields).into_iter();
                    *fields = all.map(|(key, field)| (self.text(&key).unwrap_or(key), field)).collect();
                }
            }
            _ => {}
        }
    }

    /// The text without secrets; `None` if there are none in it. One that contains another goes first, or what is
    /// left of it would stay.
    fn text(&self, text: &str) -> Option<String> {
        let mut secrets: Vec<_> = self.values.values().flat_map(|secret| written(secret)).collect();
        secrets.retain(|secret| is_in(secret, text));
        if secrets.is_empty() {
            return None;
        }
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Some(secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK)))
    }
}

/// The ways in which servers repeat a secret: as it is, within JSON, and as a part of an address, where more or fewer
/// characters are written as numbers.
fn written(secret: &str) -> Vec<String> {
    let numbered = |is_plain: &dyn Fn(u8) -> bool| -> String {
        let part = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        secret.bytes().map(part).collect()
    };
    let json = serde_json::to_string(secret).unwrap_or_default();
    let mut ways = vec![
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        numbered(&|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)),
        numbered(&|byte| byte.is_ascii_graphic() && !b"\"#<>?`{}".contains(&byte)),
    ];
    ways.sort();
    ways.dedup();
    ways
}

fn is_in(secret: &str, text: &str) -> bool {
    secret.len() >= SHORTEST && text.contains(secret)
}

/// Stands for the source of an error that told a secret.
#[derive(Debug)]
struct Masked(String);

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Masked {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use llmspell::Kind;
    use serde_json::json;

    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let named = values.iter().enumerate().map(|(n, value)| (format!("S{n}"), (*value).to_owned()));
        Secrets { values: named.collect() }
    }

    #[test]
    fn the_longest_goes_first() {
        assert_eq!(secrets(&["pass", "password1"]).text("my password1, my pass").unwrap(), "my ***, my ***");
        assert_eq!(secrets(&["abc"]).text("abc"), None);
    }

    #[test]
    fn servers_repeat_what_they_were_sent_in_their_own_way() {
        let secrets = secrets(&["s3cr\"t/t\u{f6}ken+9"]);
        for told in ["s3cr\\\"t/t\u{f6}ken+9", "s3cr%22t/t%C3%B6ken+9", "s3cr%22t%2Ft%C3%B6ken%2B9"] {
            assert_eq!(secrets.text(&format!("/p/{told}?")).as_deref(), Some("/p/***?"), "{told}");
        }
    }

    #[test]
    fn errors_lose_their_secrets_and_nothing_else() {
        let read: Error = serde_json::from_value(json!({
            "kind": "overloaded", "message": "key-1234", "path": "f.a", "attempts": 3, "retry_after_ms": 1500.0,
            "hint": "not key-1234", "causes": [{ "kind": "failed", "message": "no", "causes": [
                { "kind": "timeout", "message": "key-1234 is late", "path": "f.a.b" },
            ] }],
        }))
        .unwrap();
        let mut error = read.with_source(std::io::Error::other("key-1234"));
        secrets(&["key-1234"]).scrub_error(&mut error);
        assert!(!format!("{error:#?} {error:#}").contains("1234"), "{error:#}");
        assert_eq!((error.kind(), error.attempts(), error.is_transient()), (Kind::Overloaded, 3, true));
        assert_eq!(error.retry_after(), Some(Duration::from_millis(1500)));
        assert_eq!(error.path().unwrap().to_string(), "f.a");
        let inner = &error.causes()[0].causes()[0];
        assert_eq!((inner.to_string().as_str(), inner.kind()), ("f.a.b: *** is late", Kind::Timeout));
        // What tells only in its source.
        let mut error = Error::failed("no").permanent().with_source(std::io::Error::other("key-1234"));
        secrets(&["key-1234"]).scrub_error(&mut error);
        assert!(!format!("{error:#}").contains("1234"));
    }
}
