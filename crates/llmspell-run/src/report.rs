//! What a run came to, for readers: an account of where the time went, failures by their causes, and advice.

mod account;
mod advice;
mod failures;

pub use account::{Account, FailureCount};
pub use advice::Lint;
pub use failures::{FailureGroup, Failures};
