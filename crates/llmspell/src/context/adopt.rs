//! Outcomes that become part of the work that has asked for them.

use super::Context;
use super::node::Facet;
use crate::error::Result;
use crate::outcome::Outcome;

impl Context {
    /// Makes an outcome of work *under this context* part of this work: its causes, choices and retries are told with
    /// this work's own outcome, whose quality is no better than its.
    ///
    /// For steps that run others as a [stream](crate::Step::stream), or [observed](crate::Step::observed), and hand on
    /// their results. What the work has used was charged and counted when it [was used](Context::used), and is not
    /// counted again. If there is an error, return it: its attempts are counted with it.
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
    ///             sum += cx.adopt(outcome)?;
    ///         }
    ///         Ok(sum)
    ///     }
    /// });
    /// let outcome = sum.observed().run(3, &Context::new()).await?;
    /// assert_eq!((outcome.quality, outcome.causes.len()), (Quality::Fallback, 1));
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// That of the outcome.
    pub fn adopt<T>(&self, outcome: Outcome<T>) -> Result<T> {
        let (result, entries) = outcome.into_parts(false);
        self.note(|mine| mine.absorb(entries));
        result
    }

    /// Makes an outcome *of an earlier run* part of this work, as [`adopt`](Context::adopt) does.
    ///
    /// What it had used counts in the outcomes of the work around, for it is part of what the result has cost. But no
    /// [budget](crate::Budget) and no [rate](crate::Rate) is charged with it, and the [report](Context::report) says
    /// nothing of it: it was paid for then.
    ///
    /// # Errors
    /// That of the outcome.
    pub fn replay<T>(&self, outcome: Outcome<T>) -> Result<T> {
        let (result, mut entries) = outcome.into_parts(true);
        if let Some(usage) = entries.take_usage()
            && self.collects()
        {
            for node in self.chain() {
                if let Facet::Scope(scope) = &node.facet
                    && !scope.is_trial
                {
                    scope.ledger.write(|mine| mine.used(usage));
                }
            }
        }
        self.note(|mine| mine.absorb(entries));
        result
    }
}
