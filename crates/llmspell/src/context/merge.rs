//! Outcomes that become part of the work that has asked for them.

use super::Context;
use crate::error::Result;
use crate::observe::outcome::{Expense, Outcome};

impl Context {
    /// Makes an outcome of work *under this context* part of this work: its causes and choices are told with this work's
    /// own outcome, whose quality is no better than its.
    ///
    /// For steps that run others as a [stream](crate::Step::stream), or [observed](crate::Step::observed), and hand on
    /// their results. Its retries, and what it has used, were counted when they were made and when it [was
    /// used](Context::record_usage), and are not counted again.
    ///
    /// ```
    /// use llmspell::{Context, Error, Quality, Step, step, value};
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
    /// That of the outcome.
    pub fn merge_outcome<T>(&self, outcome: Outcome<T>) -> Result<T> {
        let (result, entries) = outcome.into_parts();
        self.note(|mine| mine.merge(entries));
        result
    }

    /// Makes an outcome *of an earlier run* part of this work, as [`merge_outcome`](Context::merge_outcome) does.
    ///
    /// Its retries and what it had used count in the outcomes of the work around, for they are part of what the result has cost. But no
    /// [budget](crate::Budget) and no [rate](crate::Rate) is charged with it, and the [report](Context::report) says
    /// nothing of it: it was paid for then.
    ///
    /// # Errors
    /// That of the outcome.
    pub fn restore_outcome<T>(&self, outcome: Outcome<T>) -> Result<T> {
        let spent = Expense::of(&outcome);
        self.note_throughout(|mine| mine.add_expense(spent));
        self.merge_outcome(outcome)
    }
}
