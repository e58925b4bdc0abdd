//! Regular expressions, compiled once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use llmspell::{Error, Result};
use regex::Regex;
use serde_json::Value;

/// Flows name a handful of patterns; one that makes them of its records starts again now and then.
const KEPT: usize = 256;

/// The patterns that were used last.
#[derive(Default)]
pub(super) struct Patterns(Mutex<HashMap<String, Regex>>);

impl Patterns {
    pub(super) fn get(&self, pattern: &str) -> Result<Regex> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regex) = known.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = Regex::new(pattern).map_err(|error| {
            Error::invalid(format!("`{pattern}` is not a regular expression: {}", reason(&error))).with_source(error)
        })?;
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }

    /// At most `most` matches: the first group of each, or the whole of it.
    pub(super) fn matches(&self, pattern: &str, text: &str, most: usize) -> Result<Vec<Value>> {
        let regex = self.get(pattern)?;
        let group = usize::from(regex.captures_len() > 1);
        let matched = regex.captures_iter(text).take(most);
        Ok(matched.map(|found| found.get(group).map_or(Value::Null, |part| part.as_str().into())).collect())
    }
}

/// The last line of the error says what is wrong; the others draw the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
