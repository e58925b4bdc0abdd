//! How the results of steps are kept and recalled, so that a resumed run does not repeat them.

use std::pin::Pin;
use std::sync::Arc;

use llmspell::{Error, Provenance, Quality, Result};
use serde_json::Value;

use crate::ir::fingerprint::Fingerprint;

/// A step as a [`Memo`] knows it: where it stands, and all that decides what it gives to a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// Its path within the flow, such as `fetch`.
    pub path: Arc<str>,
    /// Of what stands in the flow about it, and about what it depends on.
    pub fingerprint: Fingerprint,
}

/// What a step gave: what [`Step::with_outcome`](llmspell::Step::with_outcome) tells of a success.
#[derive(Clone, Debug)]
pub struct CachedResult {
    /// The output.
    pub output: Value,
    /// How good it is.
    pub quality: Quality,
    /// What failed on the way.
    pub causes: Vec<Error>,
    /// What served it.
    pub provenance: Provenance,
}

/// Keeps the results of the steps of one record, and recalls those of earlier sessions.
///
/// The runner of a flow implements it. The steps of the flow know nothing else of where results are kept.
pub trait Memo: Send + Sync {
    /// Returns what this step gave before, if it is the same step at the same place: `item` is empty, or the number of
    /// an item such as `3`, or `3.0` within it.
    fn recall(&self, step: &StepKey, item: &str) -> Option<CachedResult>;

    /// Keeps what the step has given, and completes when that is safe. An error of it fails the step.
    fn keep<'a>(&'a self, step: &'a StepKey, item: &'a str, result: &'a CachedResult) -> KeepFuture<'a>;
}

/// The future of [`Memo::keep`].
pub type KeepFuture<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;
