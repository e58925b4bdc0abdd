//! Why records failed, in few lines.

use llmspell::{Error, Kind};

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
    /// The class of the errors.
    pub kind: Kind,
    /// How many there were.
    pub count: u64,
    /// The line of the first one.
    pub first_line: u64,
    /// What happened to the first one.
    pub first: Error,
}

/// A flow has a handful of steps and errors a handful of kinds.
const GROUPS: usize = 64;

impl Failures {
    pub(crate) fn add(&mut self, line: u64, error: &Error) {
        let path = error.path().map_or("", |path| path.as_str());
        let kind = error.kind();
        if let Some(group) = self.groups.iter_mut().find(|group| group.kind == kind && group.path == path) {
            group.count += 1;
        } else if self.groups.len() < GROUPS {
            let path = path.to_owned();
            self.groups.push(FailureGroup { path, kind, count: 1, first_line: line, first: error.clone() });
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
