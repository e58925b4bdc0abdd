//! The plan of a resumed run whose flow may have changed.

/// The parts of its journal that a resumed run can use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResumePlan {
    /// The paths of the steps whose results are reused.
    pub kept: Vec<String>,
    /// The paths of the steps that run again for every record, with the reason.
    pub redone: Vec<(String, RedoReason)>,
    /// Whether records are recognized by another field than before, or by their content instead of a field. Then no
    /// record is recognized, and the whole input runs again.
    pub rekeyed: bool,
    /// The number of records with an outcome of another version of the flow. They run again with the results of the
    /// kept steps.
    pub records: u64,
}

/// The reason why the results of a step cannot be reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedoReason {
    /// The step, or a step it depends on, has changed.
    Changed,
    /// There are no results: the step is new, or no record has reached it.
    New,
}

impl RedoReason {
    /// Returns the reason for people.
    pub fn as_str(self) -> &'static str {
        match self {
            RedoReason::Changed => "it, or what it depends on, has changed",
            RedoReason::New => "it has not run before",
        }
    }
}
