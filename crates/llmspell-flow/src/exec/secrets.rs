//! Secrets: read from the environment, used in the arguments of tools or shown to models and servers, and redacted
//! from everything that they return.

mod pattern;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;

use llmspell::{Error, Outcome};
use pattern::SecretPattern;
use serde_json::Value;

/// The shortest key or token that is secret. Shorter ones are placeholders, as local servers accept them.
const MIN_KEY_LEN: usize = 8;

/// The secrets of a flow: its declared ones, and the keys and tokens of its models and servers.
#[derive(Default)]
pub(crate) struct Secrets {
    /// The declared secrets, by name.
    values: BTreeMap<String, String>,
    /// The pattern of each secret with its name, longest first. If one secret contains another, replacing the shorter
    /// first would leave the rest in the text.
    patterns: Vec<(String, SecretPattern)>,
    /// Whether one of them may appear as a JSON number.
    has_number: bool,
}

/// The replacement for a secret.
const MASK: &str = "***";

impl Secrets {
    /// Reads the environment variables that a flow declares, and returns the names of those that are missing. `keys`
    /// are the variables of keys and tokens; the code that opens models and servers checks those.
    pub(crate) fn read<'a>(
        declared: impl IntoIterator<Item = &'a str>,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> (Self, Vec<&'a str>) {
        let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (mut values, mut missing) = (BTreeMap::new(), Vec::new());
        for name in declared {
            match value(name) {
                Some(value) => drop(values.insert(name.to_owned(), value)),
                None => missing.push(name),
            }
        }
        let keys = keys.into_iter().filter_map(|name| Some((name.to_owned(), value(name)?)));
        (Secrets::new(values, keys.collect()), missing)
    }

    fn new(values: BTreeMap<String, String>, mut keys: BTreeMap<String, String>) -> Self {
        keys.retain(|name, key| key.trim().len() >= MIN_KEY_LEN && !values.contains_key(name));
        let mut longest: Vec<_> = values.iter().chain(&keys).collect();
        longest.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let is_number = |value: &str| serde_json::from_str::<serde_json::Number>(value.trim()).is_ok();
        let has_number = longest.iter().any(|(_, value)| is_number(value));
        let patterns = longest.into_iter().filter_map(|(name, value)| Some((name.clone(), SecretPattern::new(value)?)));
        let patterns = patterns.collect();
        Secrets { values, patterns, has_number }
    }

    /// Returns the declared secrets as templates see them.
    pub(crate) fn view(&self) -> minijinja::Value {
        minijinja::Value::from(self.values.clone())
    }

    /// Returns whether there is nothing to redact.
    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Returns the name of a secret that a text contains.
    pub(crate) fn find(&self, text: &str) -> Option<&str> {
        self.patterns.iter().find(|(_, secret)| secret.is_in(text)).map(|(name, _)| name.as_str())
    }

    /// Redacts an outcome: servers repeat in their answers what they were sent.
    pub(crate) fn redact_outcome(&self, outcome: &mut Outcome<Value>) {
        match &mut outcome.result {
            Ok(value) => self.redact(value),
            Err(error) => self.redact_error(error),
        }
        outcome.causes.iter_mut().for_each(|cause| self.redact_error(cause));
    }

    /// Redacts an error. Its path, its attempts, and whether it may be retried stay.
    fn redact_error(&self, error: &mut Error) {
        let (message, hint) =
            (self.redact_message(error.message()), error.hint().and_then(|hint| self.redact_message(hint)));
        let mut causes = error.causes().to_vec();
        causes.iter_mut().for_each(|cause| self.redact_error(cause));
        let mut redacted = error.clone();
        if !causes.is_empty() {
            redacted = redacted.with_causes(causes);
        }
        let is_secret = message.is_some() || hint.is_some();
        if let Some(message) = message {
            redacted = redacted.with_message(message);
        }
        if let Some(hint) = hint {
            redacted = redacted.with_hint(hint);
        }
        if let Some(source) = error.source()
            && (is_secret || self.is_in_source(source))
        {
            // The rest of the source may also be the secret.
            let masked = Masked(redacted.message().to_owned());
            redacted = redacted.with_source(masked);
        }
        *error = redacted;
    }

    fn is_in_source(&self, source: &(dyn StdError + 'static)) -> bool {
        let mut next = Some(source);
        while let Some(error) = next {
            if self.find(&format!("{error} {error:?}")).is_some() {
                return true;
            }
            next = error.source();
        }
        false
    }

    fn redact(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(redacted) = self.redact_text(text) {
                    *text = redacted;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact(item)),
            Value::Object(fields) => {
                fields.iter_mut().for_each(|(_, field)| self.redact(field));
                if fields.keys().any(|key| self.redact_text(key).is_some()) {
                    let all = std::mem::take(fields).into_iter();
                    *fields = all.map(|(key, field)| (self.redact_text(&key).unwrap_or(key), field)).collect();
                }
            }
            Value::Number(number) if self.has_number => {
                if self.redact_text(&number.to_string()).is_some() {
                    *value = MASK.into();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Returns the text without secrets; `None` if it has none.
    pub(crate) fn redact_text(&self, text: &str) -> Option<String> {
        let mut redacted = None::<String>;
        for (_, secret) in &self.patterns {
            let so_far = redacted.as_deref().unwrap_or(text);
            if secret.is_in(so_far) {
                redacted = Some(secret.masked(so_far, MASK));
            }
        }
        redacted
    }

    /// Redacts the text of an error, which may show the beginning of a longer text. `redact_text` does not recognise a
    /// secret that was cut off.
    pub(crate) fn redact_message(&self, text: &str) -> Option<String> {
        let redacted = self.redact_text(text);
        let so_far = redacted.as_deref().unwrap_or(text);
        let shown = so_far.trim_end_matches(['.', '\u{2026}']);
        let cut = self.patterns.iter().filter_map(|(_, secret)| secret.cut_at(shown)).min();
        cut.map(|cut| format!("{}{MASK}{}", &shown[..cut], &so_far[shown.len()..])).or(redacted)
    }
}

/// The source of an error in place of one that contained a secret.
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

    use llmspell::ErrorKind;
    use serde_json::json;

    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let named = values.iter().enumerate().map(|(n, value)| (format!("S{n}"), (*value).to_owned()));
        Secrets::new(named.collect(), BTreeMap::new())
    }

    #[test]
    fn keys_are_redacted_and_hidden_from_templates_unless_they_are_placeholders() {
        let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let keys = [named("KEY", "key-of-mine-1"), named("LOCAL", "ollama"), named("BOTH", "twice-said")];
        let secrets = Secrets::new([named("BOTH", "twice-said")].into(), keys.into());
        assert_eq!(secrets.redact_text("key-of-mine-1 ollama twice-said").as_deref(), Some("*** ollama ***"));
        assert_eq!(secrets.find("key-of-mine-1"), Some("KEY"));
        let view = secrets.view();
        assert!(view.get_attr("KEY").unwrap().is_undefined() && !view.get_attr("BOTH").unwrap().is_undefined());
        assert!(Secrets::new(BTreeMap::new(), [named("LOCAL", "ollama")].into()).is_empty());
    }

    #[test]
    fn longer_secrets_are_redacted_first() {
        assert_eq!(secrets(&["pass", "password1"]).redact_text("my password1, my pass").unwrap(), "my ***, my ***");
        assert_eq!(secrets(&["abc"]).redact_text("abc"), None);
    }

    #[test]
    fn quoted_and_percent_encoded_secrets_are_redacted() {
        let secrets = secrets(&["s3cr\"t/t\u{f6}ken+9"]);
        for text in ["s3cr\\\"t/t\u{f6}ken+9", "s3cr%22t/t%C3%B6ken+9", "s3cr%22t%2Ft%C3%B6ken%2B9"] {
            assert_eq!(secrets.redact_text(&format!("/p/{text}?")).as_deref(), Some("/p/***?"), "{text}");
        }
    }

    #[test]
    fn every_escape_is_recognized() {
        let secrets = secrets(&["a b&\"\u{e4}/\u{1f600}\nz9"]);
        for text in [
            "a+b%26%22%c3%a4%2f%F0%9F%98%80%0Az9",
            r#"a b&\"\u00e4\/\ud83d\ude00\nz9"#,
            r#"a b\u0026\\\"\u00E4/\uD83D\uDE00\\nz9"#,
            r#"a b&\"\u{e4}/\u{1f600}\nz9"#,
            "a%2520b%2526%2522%25C3%25A4%252F%25F0%259F%2598%2580%250Az9",
            "a b&amp;&quot;\u{e4}/\u{1f600}\nz9",
            "a b&#38;&#x22;\u{e4}/&#128512;\nz9",
        ] {
            assert_eq!(secrets.redact_text(&format!("<{text}>")).as_deref(), Some("<***>"), "{text}");
        }
    }

    #[test]
    fn base64_is_recognized_whatever_its_neighbours() {
        use base64::Engine;
        use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

        for secret in ["s3cr\u{ff}~?t>>", "s3cret-token-1234", "hunter22", "a\u{ff}\u{fe}bcd?"] {
            let secrets = secrets(&[secret]);
            for before in ["", "u", "me", "you", "user:"] {
                for after in ["", "!", "?!", "-and more of it"] {
                    let whole = format!("{before}{secret}{after}");
                    let (standard, safe) = (STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole));
                    let percent = standard.replace('+', "%2B").replace('/', "%2F");
                    for text in [&standard, &safe, &percent] {
                        let redacted = secrets.redact_text(&format!("Basic {text}")).unwrap_or_default();
                        // Only encoded neighbours of the secret may be left.
                        let left = redacted.replace("%2F", "/").replace("%2B", "+").len() - "Basic ***".len();
                        assert!(left <= (before.len() + after.len()) * 4 / 3 + 4, "{text}: {redacted}");
                    }
                }
            }
            assert_eq!(secrets.redact_text(&format!("Basic {}", STANDARD.encode(secret))).unwrap(), "Basic ***");
        }
    }

    #[test]
    fn a_truncated_secret_is_redacted_at_the_end_of_an_error() {
        let secrets = secrets(&["s3cret-token-1234"]);
        assert_eq!(secrets.redact_message("401: wrong token s3cret-tok").as_deref(), Some("401: wrong token ***"));
        assert_eq!(
            secrets.redact_message("401: wrong token s3cret-tok\u{2026}").as_deref(),
            Some("401: wrong token ***\u{2026}")
        );
        assert_eq!(secrets.redact_message("s3cret-token-1234, s3cret-token").as_deref(), Some("***, ***"));
        assert_eq!(secrets.redact_message("no s3c"), None);
    }

    #[test]
    fn numbers_and_trimmed_secrets_are_redacted() {
        let secrets = secrets(&["12345678", "  line \n"]);
        let mut value = json!({ "pin": 12345678, "n": 12, "said": "a line" });
        secrets.redact(&mut value);
        assert_eq!(value, json!({ "pin": "***", "n": 12, "said": "a ***" }));
    }

    #[test]
    fn long_secrets_have_patterns() {
        let secret = "-----BEGIN KEY-----\n".to_owned() + &"MIIEvQIBADANBgkqhkiG9w0BAQEF/AAS+\n".repeat(200);
        let text = serde_json::to_string(&format!("the key is {secret}")).unwrap();
        assert_eq!(secrets(&[&secret]).redact_text(&text).unwrap(), "\"the key is ***\\n\"");
    }

    #[test]
    fn errors_lose_only_their_secrets() {
        let read: Error = serde_json::from_value(json!({
            "kind": "overloaded", "message": "key-1234", "path": "f.a", "attempts": 3, "retry_after_ms": 1500.0,
            "hint": "not key-1234", "causes": [{ "kind": "failed", "message": "no", "causes": [
                { "kind": "timeout", "message": "key-1234 is late", "path": "f.a.b" },
            ] }],
        }))
        .unwrap();
        let mut error = read.with_source(std::io::Error::other("key-1234"));
        secrets(&["key-1234"]).redact_error(&mut error);
        assert!(!format!("{error:#?} {error:#}").contains("1234"), "{error:#}");
        assert_eq!((error.kind(), error.attempts(), error.is_transient()), (ErrorKind::Overloaded, 3, true));
        assert_eq!(error.retry_after(), Some(Duration::from_millis(1500)));
        assert_eq!(error.path().unwrap().to_string(), "f.a");
        let inner = &error.causes()[0].causes()[0];
        assert_eq!((inner.to_string().as_str(), inner.kind()), ("f.a.b: *** is late", ErrorKind::Timeout));
        // The secret is only in the source.
        let mut error = Error::failed("no").permanent().with_source(std::io::Error::other("key-1234"));
        secrets(&["key-1234"]).redact_error(&mut error);
        assert!(!format!("{error:#}").contains("1234"));
    }
}
