//! Secrets: read from the environment, used in the arguments of tools, and taken out of everything that comes back.

use std::collections::BTreeMap;

use llmspell::{Error, Result};
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

    /// A result without any of them: servers repeat in their answers what they were sent.
    pub(crate) fn scrubbed(&self, result: Result<Value>) -> Result<Value> {
        if self.values.is_empty() {
            return result;
        }
        match result {
            Ok(mut value) => {
                self.scrub(&mut value);
                Ok(value)
            }
            Err(error) => Err(self.scrubbed_error(error)),
        }
    }

    fn scrubbed_error(&self, error: Error) -> Error {
        let (message, hint) = (self.text(error.message()), error.hint().map(|hint| self.text(hint)));
        let told = |text: &Option<Option<String>>| text.as_ref().is_some_and(Option::is_some);
        if message.is_none() && !told(&hint) {
            return error;
        }
        // What else it tells may hold the secret, too.
        let mut scrubbed = Error::new(error.kind(), message.unwrap_or_else(|| error.message().to_owned()));
        scrubbed = if error.is_transient() { scrubbed.transient() } else { scrubbed.permanent() };
        if let Some(wait) = error.retry_after() {
            scrubbed = scrubbed.with_retry_after(wait);
        }
        let hint = hint.map(|told| told.unwrap_or_else(|| error.hint().unwrap_or_default().to_owned()));
        hint.into_iter().fold(scrubbed, Error::with_hint)
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

    /// The text without secrets; `None` if there are none in it.
    fn text(&self, text: &str) -> Option<String> {
        let found = |secret: &&String| secret.len() >= SHORTEST && text.contains(secret.as_str());
        let mut secrets = self.values.values().filter(found).peekable();
        secrets.peek()?;
        Some(secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK)))
    }
}
