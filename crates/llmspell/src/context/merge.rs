//! Outcomes that become part of the work that requested them.

use super::Context;
use crate::error::Result;
use crate::observe::outcome::{Expense, Outcome};

impl Context {
    /// Returns the outcome of the work in this scope.
    pub(crate) fn outcome<T>(&self, index: usize, result: Result<T>) -> Outcome<T> {
        Outcome::new(index, result, self.collector())
    }

    /// Merges an outcome of work *under this context* into this work, and returns its result.
    ///
    /// This work's own outcome then includes the causes and choices of the merged one. Its quality is no better
    /// than that of the merged one.
    ///
    /// For steps that run others as a [stream](crate::Step::stream) or [with
    /// outcomes](crate::Step::with_outcome) and pass on the results. Retries and [usage](Context::record_usage)
    /// were counted when they happened, and are not counted again.
    ///
    /// ```
    /// use llmspell::{Context, Error, Step, step, value};
    /// use llmspell::observe::Quality;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let part = step(|n: u32, _| async move { if n < 2 { Ok(n) } else { Err(Error::failed("too much")) } });
    /// let part = part.fallback(value(0_u32)).boxed();
    /// let sum = step(move |most: u32, cx: Context| {
    ///     let mut parts = part.clone().stream(0..most, &cx);
    ///     async move {
    ///         let mut sum = 0;
    ///         while let Some(outcome) = parts.next().await {
    ///             sum += cx.merge_outcome(outcome)?;
    ///         }
    ///         Ok(sum)
    ///     }
    /// });
    /// let outcome = sum.with_outcome().run(3, &Context::new()).await?;
    /// assert_eq!((outcome.quality, outcome.causes.len()), (Quality::Fallback, 1));
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The error of the outcome.
    pub fn merge_outcome<T>(&self, outcome: Outcome<T>) -> Result<T> {
        let (result, collected) = outcome.into_parts();
        self.record_provenance(|mine| mine.merge(collected));
        result
    }

    /// Merges an outcome *of an earlier run* into this work, as [`merge_outcome`](Context::merge_outcome) does.
    ///
    /// Its retries and usage count in the outcomes of the work around, because they are part of the cost of the
    /// result. No [budget](crate::Budget) or [rate](crate::Rate) is charged and the [report](Context::report)
    /// does not include it, because the earlier run has already paid for it.
    ///
    /// # Errors
    /// That of the outcome.
    pub fn restore_outcome<T>(&self, outcome: Outcome<T>) -> Result<T> {
        let spent = Expense::of(&outcome);
        self.record_cost(|mine| mine.add_expense(spent));
        self.merge_outcome(outcome)
    }
}
