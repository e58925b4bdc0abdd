//! Observation of a run: events, the recorder that stamps and keeps them, the folds and the report they add up to, and
//! the outcome and usage of a call.
//!
//! These modules hold facts. They must not decide how steps run.

mod call_hasher;
pub(crate) mod cost;
pub(crate) mod event;
pub(crate) mod fold;
pub(crate) mod histogram;
mod millis;
pub(crate) mod outcome;
pub(crate) mod rate_limits;
pub(crate) mod recorder;
pub(crate) mod report;
pub(crate) mod shared_fold;
pub(crate) mod usage;

pub use cost::{Cost, InvalidCost};
pub use event::{Event, EventError, EventKind, EventSink, LimitChange, RejectedBy, RetryStop, WaitKind};
pub use outcome::{Choice, Outcome, Provenance, Quality, ServedBy, StageTime};
pub use rate_limits::{RateLimits, RateWindow};
pub use report::{CriticalStep, PipelineReport, Report, StageReport, StepReport};
pub use usage::Usage;
