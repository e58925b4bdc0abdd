//! The failures of a run, grouped by cause.

use llmspell::{Error, ErrorKind};

/// Failures by step and kind, in the order of their first occurrence. Bounded, however many records fail.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    groups: Vec<FailureGroup>,
    /// Failures beyond the groups.
    others: u64,
}

/// Failures of one kind at one step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailureGroup {
    /// The path of the step; empty if the record itself was invalid.
    pub path: String,
    /// The kind of the errors; if all attempts failed, the kind of the last one.
    pub kind: ErrorKind,
    /// The number of attempts of the first failure.
    pub attempts: u32,
    /// The number of failures.
    pub count: u64,
    /// The line of the first failure.
    pub first_line: u64,
    /// The error of the first failure, at its last attempt.
    pub first: Error,
}

/// The maximum number of groups: a flow has few steps, and errors have few kinds.
const GROUPS: usize = 64;

impl Failures {
    pub(crate) fn add(&mut self, line: u64, error: &Error) {
        let path = error.path().map_or("", |path| path.as_str());
        let (attempts, first) = (error.attempts(), error.root_cause());
        let kind = first.kind();
        // Invalid records differ only in their messages; two messages are alike if only their numbers differ.
        let alike = |group: &FailureGroup| {
            let words = |error: &Error| error.message().replace(|c: char| c.is_ascii_digit(), "");
            group.kind == kind && group.path == path && (!path.is_empty() || words(&group.first) == words(first))
        };
        if let Some(group) = self.groups.iter_mut().find(|group| alike(group)) {
            group.count += 1;
        } else if self.groups.len() < GROUPS {
            let (path, first) = (path.to_owned(), first.clone());
            self.groups.push(FailureGroup { path, kind, attempts, count: 1, first_line: line, first });
        } else {
            self.others += 1;
        }
    }

    /// Returns the groups, in the order of their first failures.
    pub fn groups(&self) -> &[FailureGroup] {
        &self.groups
    }

    /// Returns the number of failures beyond the groups.
    pub fn others(&self) -> u64 {
        self.others
    }
}
