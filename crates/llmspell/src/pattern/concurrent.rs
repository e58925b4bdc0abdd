//! Concurrent steps on the same input.
//!
//! *Waits for* all branches ([`join`], [`all`]), for the first failure ([`try_join`], [`try_all`]), or until
//! every branch has succeeded or failed ([`settle`]).
//! *Cancels* the siblings of a failed branch, in the `try_` forms only: each group chooses whether one failure
//! decides.
//! *Bounds* the number of concurrent branches, by [`Join::limit`].
//! *Fails with* the error of the failed branch; if several failed, with [`ErrorKind::AllFailed`] and all of
//! them as causes.
//!
//! A tuple has branches of different types, which run in the task of the caller; nothing is spawned. A vector
//! has any number of branches of one type (see [`Step::boxed`]), which run on their own tasks and can use all
//! cores. In both, a panic is the error of its branch.
//!
//! ```
//! use llmspell::{Context, Step, join, step};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let words = step(|text: String, _| async move { Ok(text.split(' ').count()) });
//! let shout = step(|text: String, _| async move { Ok(text.to_uppercase()) });
//! let (count, loud) = join((words, shout)).run("two words".into(), &Context::new()).await?;
//! assert_eq!((count, loud.as_str()), (2, "TWO WORDS"));
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod tuple;
mod vector;

use std::sync::Arc;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::step::{Step, StepInfo};

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

/// Steps over the same input that can run concurrently: a tuple of two to eight steps, or a vector.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a group of steps",
    label = "expected a tuple or a vector of steps",
    note = "for an array or any other iterator of steps: `all(…)` and `try_all(…)`",
    note = "all members take the same input type, and it must be `Clone`; use `.shared()` to pass an `Arc` of one that is not"
)]
pub trait Group: Sealed + Send + Sync + 'static {
    /// The input of every member.
    type In: Send + 'static;
    /// The outputs of all members.
    type Outs: Send + 'static;
    /// The outcomes of the members, together.
    type Outcomes: Send + 'static;

    #[doc(hidden)]
    fn info(&self) -> StepInfo<'_>;

    #[doc(hidden)]
    fn join(
        self: &Arc<Self>,
        input: Self::In,
        cx: &Context,
        options: JoinOptions,
    ) -> impl Future<Output = Result<Self::Outs>> + Send;

    #[doc(hidden)]
    fn settle(
        self: &Arc<Self>,
        input: Self::In,
        cx: &Context,
        options: JoinOptions,
    ) -> impl Future<Output = Self::Outcomes> + Send;
}

/// The options of a group.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct JoinOptions {
    limit: usize,
    fail_fast: bool,
}

/// Returns a step that runs all members to completion, and returns all outputs if none failed.
pub fn join<G: Group>(group: G) -> Join<G> {
    Join { group: Arc::new(group), options: JoinOptions { limit: usize::MAX, fail_fast: false } }
}

/// Returns a step that runs all members; the first failure cancels the others.
pub fn try_join<G: Group>(group: G) -> Join<G> {
    Join { group: Arc::new(group), options: JoinOptions { limit: usize::MAX, fail_fast: true } }
}

/// Returns a step like [`join`] over any number of steps.
pub fn all<S: Step<In: Clone>>(steps: impl IntoIterator<Item = S>) -> Join<Vec<S>> {
    join(steps.into_iter().collect::<Vec<_>>())
}

/// Returns a step like [`try_join`] over any number of steps.
pub fn try_all<S: Step<In: Clone>>(steps: impl IntoIterator<Item = S>) -> Join<Vec<S>> {
    try_join(steps.into_iter().collect::<Vec<_>>())
}

/// Returns a step that runs all members to completion and returns an [`Outcome`](crate::Outcome) for each. It
/// never fails.
pub fn settle<G: Group>(group: G) -> Settle<G> {
    Settle { group: Arc::new(group), options: JoinOptions { limit: usize::MAX, fail_fast: false } }
}

/// A group that fails if a member fails; made by [`join`], [`try_join`], [`all`] and [`try_all`].
#[derive(Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Join<G> {
    group: Arc<G>,
    options: JoinOptions,
}

impl<G> Clone for Join<G> {
    fn clone(&self) -> Self {
        Join { group: self.group.clone(), options: self.options }
    }
}

impl<G: Group> Join<G> {
    /// Runs at most `branches` of one call at a time; the others start in order as these end.
    ///
    /// To limit concurrent calls of the group, use [`Step::limit`] on it: `Step::limit(group, n)`.
    ///
    /// # Panics
    /// If `branches` is 0.
    pub fn limit(mut self, branches: usize) -> Self {
        self.options.limit = at_least_one(branches);
        self
    }
}

impl<G: Group> Step for Join<G> {
    type In = G::In;
    type Out = G::Outs;

    fn run(&self, input: G::In, cx: &Context) -> impl Future<Output = Result<G::Outs>> + Send {
        self.group.join(input, cx, self.options)
    }

    fn info(&self) -> StepInfo<'_> {
        self.group.info()
    }
}

/// A group that returns every outcome; made by [`settle`].
#[derive(Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Settle<G> {
    group: Arc<G>,
    options: JoinOptions,
}

impl<G> Clone for Settle<G> {
    fn clone(&self) -> Self {
        Settle { group: self.group.clone(), options: self.options }
    }
}

impl<G: Group> Settle<G> {
    /// Runs at most `branches` of one call at a time; the others start in order as these end.
    ///
    /// To limit concurrent calls of the group, use [`Step::limit`] on it: `Step::limit(group, n)`.
    ///
    /// # Panics
    /// If `branches` is 0.
    pub fn limit(mut self, branches: usize) -> Self {
        self.options.limit = at_least_one(branches);
        self
    }
}

impl<G: Group> Step for Settle<G> {
    type In = G::In;
    type Out = G::Outcomes;

    async fn run(&self, input: G::In, cx: &Context) -> Result<G::Outcomes> {
        Ok(self.group.settle(input, cx, self.options).await)
    }

    fn info(&self) -> StepInfo<'_> {
        self.group.info()
    }
}

fn at_least_one(branches: usize) -> usize {
    assert!(branches > 0, "a limit must be at least 1: with 0, nothing would ever run");
    branches
}

/// Returns the error of a group in which `failures` of `members` failed.
fn group_error(failures: Vec<Error>, members: usize) -> Error {
    let message = format!("{} of {members} branches failed", failures.len());
    Error::all_failed(message, failures)
}

/// Returns the error of a branch that was stopped because a sibling failed.
fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "cancelled because a sibling failed")
}
