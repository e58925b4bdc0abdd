//! What is done again when the flow of a run has changed.

/// What a run that is resumed can use of its journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResumePlan {
    /// The paths of the steps whose results serve again.
    pub kept: Vec<String>,
    /// The paths of the steps that are done again, for every record, and why.
    pub redone: Vec<(String, RedoReason)>,
    /// Whether records are known by another field than before, or by their content instead of a field: then none is
    /// found again, and all that is in the input is done anew.
    pub rekeyed: bool,
    /// How many records have an outcome of another version of the flow: they go through it again, with the results of
    /// the steps that are kept.
    pub records: u64,
}

/// Why the results of a step do not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedoReason {
    /// The step, or something that it depends on, is another one than before.
    Changed,
    /// There are none: it is new, or no record has come so far.
    New,
}

impl RedoReason {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            RedoReason::Changed => "it, or what it depends on, has changed",
            RedoReason::New => "it has not run before",
        }
    }
}
