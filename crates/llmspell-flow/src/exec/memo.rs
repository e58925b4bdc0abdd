//! Keeping and recalling the results of steps, so that a resumed run does not repeat them.

use std::pin::Pin;
use std::sync::Arc;

use llmspell::observe::{Provenance, Quality};
use llmspell::{Error, Result};
use serde_json::Value;

use crate::ir::fingerprint::Fingerprint;

/// The identity of a step in a [`Memo`]: its path, and a fingerprint of everything that decides its output for a
/// record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// The path of the step within the flow, such as `fetch`.
    pub path: Arc<str>,
    /// A fingerprint of the definition of the step in the flow, and of everything that it depends on.
    pub fingerprint: Fingerprint,
}

/// The result of a step: the success that [`Step::with_outcome`](llmspell::Step::with_outcome) returns.
#[derive(Clone, Debug)]
pub struct CachedResult {
    /// The output.
    pub output: Value,
    /// The quality of the output.
    pub quality: Quality,
    /// The errors on the way to it.
    pub causes: Vec<Error>,
    /// The calls that produced it.
    pub provenance: Provenance,
}

/// Keeps the results of the steps of one record, and recalls those of earlier sessions.
///
/// The runner of a flow implements it. The steps of the flow know nothing else about where results are kept.
pub trait Memo: Send + Sync {
    /// Returns the earlier result of this step at this place, if there is one. `item` is empty for the record itself,
    /// or the index of an item such as `3`, or `3.0` within it.
    fn recall(&self, step: &StepKey, item: &str) -> Option<CachedResult>;

    /// Keeps the result of the step, and completes when it is durable. An error fails the step.
    fn keep<'a>(&'a self, step: &'a StepKey, item: &'a str, result: &'a CachedResult) -> KeepFuture<'a>;
}

/// The future of [`Memo::keep`].
pub type KeepFuture<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;
