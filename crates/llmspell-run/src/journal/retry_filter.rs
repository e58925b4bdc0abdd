//! The choice of failed records that run again.

use llmspell::ErrorKind;
use serde::Deserialize;

/// The failed records that run again when a run is resumed; by default none. Records that were in flight, or failed
/// because the run was ending, always run again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryFilter {
    /// No failed record, unless the run ended because records were [denied](ErrorKind::Denied): then those.
    #[default]
    None,
    /// All failed records.
    Failed,
    /// The records whose errors are of one of these kinds.
    Kinds(Vec<ErrorKind>),
}

impl RetryFilter {
    /// Whether a record with this error runs again.
    pub(super) fn selects(&self, error: Option<&str>) -> bool {
        match self {
            RetryFilter::None => false,
            RetryFilter::Failed => true,
            RetryFilter::Kinds(kinds) => {
                let class = error.and_then(|error| serde_json::from_str::<ErrorClass>(error).ok());
                class.is_none_or(|class| class.is_one_of(kinds))
            }
        }
    }
}

/// The part of a journaled error that tells its kind.
#[derive(Deserialize)]
struct ErrorClass {
    kind: ErrorKind,
    #[serde(default)]
    causes: Vec<ErrorClass>,
}

impl ErrorClass {
    /// A filter for timeouts includes records whose retries all failed, if the last attempt timed out.
    fn is_one_of(&self, kinds: &[ErrorKind]) -> bool {
        let last = self.causes.last().filter(|_| self.kind == ErrorKind::AllFailed);
        kinds.contains(&self.kind) || last.is_some_and(|last| last.is_one_of(kinds))
    }
}
