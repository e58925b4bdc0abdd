//! A cache of compiled regular expressions.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use llmspell::{Error, Result};
use regex::{Captures, Regex};
use serde_json::Value;

/// The size of the cache. Flows name a handful of patterns; a flow that builds patterns from its records empties the
/// cache from time to time.
const KEPT: usize = 256;

/// The most matches in a list. Each takes memory, even an empty one.
pub(super) const MATCHES: usize = 1_000_000;

/// The largest text after replacing, in bytes. Without a bound, one record could exhaust the memory.
const LARGEST: usize = 64 << 20;

/// The recently used patterns.
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

    /// Replaces at most `most` matches, like `Regex::replacen`, but stops at [`LARGEST`].
    pub(super) fn replace(&self, pattern: &str, text: &str, with: &str, most: usize) -> Result<String> {
        let regex = self.get(pattern)?;
        let mut out = String::new();
        let mut copied = 0;
        for found in regex.captures_iter(text).take(most) {
            let whole = found.get_match();
            out.push_str(&text[copied..whole.start()]);
            // A short replacement may repeat a large group many times.
            if out.len().saturating_add(expanded(&found, with)) > LARGEST {
                return Err(too_large());
            }
            found.expand(with, &mut out);
            copied = whole.end();
        }
        out.push_str(&text[copied..]);
        if out.len() > LARGEST && out.len() > text.len() { Err(too_large()) } else { Ok(out) }
    }

    /// Returns at most `most` matches: the first group of each, or the whole match.
    pub(super) fn matches(&self, pattern: &str, text: &str, most: usize) -> Result<Vec<Value>> {
        let regex = self.get(pattern)?;
        let group = usize::from(regex.captures_len() > 1);
        let matched = regex.captures_iter(text).take(most.min(MATCHES + 1));
        let matched: Vec<Value> =
            matched.map(|found| found.get(group).map_or(Value::Null, |part| part.as_str().into())).collect();
        if matched.len() > MATCHES { Err(too_many(MATCHES)) } else { Ok(matched) }
    }
}

/// Returns an upper bound for the size of a replacement: its own length, and the longest group for each `$`.
fn expanded(found: &Captures<'_>, with: &str) -> usize {
    let longest = found.iter().flatten().map(|group| group.len()).max().unwrap_or(0);
    with.len().saturating_add(with.matches('$').count().saturating_mul(longest))
}

pub(super) fn too_many(bound: usize) -> Error {
    Error::failed(format!("there are more than {bound} matches"))
        .with_hint("match longer parts, or in a shorter text")
        .permanent()
}

fn too_large() -> Error {
    Error::failed(format!("replacing makes the text larger than {} MiB", LARGEST >> 20))
        .with_hint("replace with less, or in a shorter text")
        .permanent()
}

/// The last line of the error holds the reason; the other lines draw the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
