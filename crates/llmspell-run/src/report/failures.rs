//! Why records failed, in few lines.

use llmspell::{Error, ErrorKind};

/// Failures by step and kind, the first of their sort first. Bounded, however many records fail.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    groups: Vec<FailureGroup>,
    /// Failures that belong to none of the groups that are kept.
    others: u64,
}

/// Failures of one kind at one step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailureGroup {
    /// The path of the step; empty if the record itself was wrong.
    pub path: String,
    /// The class of the errors; of what was tried in vain, that of the last attempt.
    pub kind: ErrorKind,
    /// How many attempts the first one had.
    pub attempts: u32,
    /// How many there were.
    pub count: u64,
    /// The line of the first one.
    pub first_line: u64,
    /// What happened to the first one, at its last attempt.
    pub first: Error,
}

/// A flow has a handful of steps and errors a handful of kinds.
const GROUPS: usize = 64;

impl Failures {
    pub(crate) fn add(&mut self, line: u64, error: &Error) {
        let path = error.path().map_or("", |path| path.as_str());
        let (attempts, first) = (error.attempts(), error.root_cause());
        let kind = first.kind();
        // What is wrong with records is told by messages alone; all but the numbers in them tells one from another.
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

    /// The groups, in the order of their first failures.
    pub fn groups(&self) -> &[FailureGroup] {
        &self.groups
    }

    /// Failures beyond the groups.
    pub fn others(&self) -> u64 {
        self.others
    }
}
