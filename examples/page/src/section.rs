//! One section of a page: what is said, what is quoted, and what is claimed.

use std::fmt::Display;

use serde::Serialize;

/// A part of a page.
#[derive(Serialize)]
pub struct Section {
    pub title: String,
    pub entries: Vec<Item>,
}

/// One thing on a page.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Text of the example.
    Text(String),
    /// Output of the library, unchanged.
    Quoted(String),
    /// A promise and whether it was kept.
    Claim { text: String, holds: bool },
}

impl Section {
    pub fn new(title: &str) -> Self {
        Section { title: title.to_owned(), entries: Vec::new() }
    }

    pub fn say(&mut self, text: impl Into<String>) {
        self.entries.push(Item::Text(text.into()));
    }

    pub fn quote(&mut self, text: impl Display) {
        self.entries.push(Item::Quoted(text.to_string()));
    }

    pub fn claim(&mut self, holds: bool, text: impl Into<String>) {
        self.entries.push(Item::Claim { text: text.into(), holds });
    }

    /// Whether each claim holds.
    pub(crate) fn claims(&self) -> impl Iterator<Item = bool> {
        self.entries.iter().filter_map(|entry| match entry {
            Item::Claim { holds, .. } => Some(*holds),
            _ => None,
        })
    }
}
