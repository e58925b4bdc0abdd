//! A substitute for a failed step.

use std::fmt;
use std::sync::Arc;

use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::observe::outcome::{Quality, ServedBy};
use crate::step::{Step, StepInfo};

/// A step with a substitute; made by [`Step::fallback`].
///
/// The result of the substitute is marked as [`Quality::Fallback`], with the failure of the step among its
/// causes. If both fail, the error of the substitute is returned, with that of the step among its causes. A
/// reader of partial output of the step receives [`ChunkData::Restarted`](crate::context::ChunkData::Restarted).
///
/// Cancelled work gets no substitute, and neither does work past its deadline. To cover a deadline, put
/// [it](Step::deadline) inside the fallback.
#[must_use = "a step does nothing until it runs"]
pub struct Fallback<S: Step, F> {
    step: S,
    other: F,
    when: Option<Arc<InputFilter<S::In>>>,
}

type InputFilter<In> = dyn Fn(&In) -> bool + Send + Sync;

impl<S: Step + Clone, F: Clone> Clone for Fallback<S, F> {
    fn clone(&self) -> Self {
        Fallback { step: self.step.clone(), other: self.other.clone(), when: self.when.clone() }
    }
}

impl<S: Step + fmt::Debug, F: fmt::Debug> fmt::Debug for Fallback<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback").field("step", &self.step).field("other", &self.other).finish_non_exhaustive()
    }
}

impl<S: Step, F> Fallback<S, F> {
    pub(crate) fn new(step: S, other: F) -> Self {
        Fallback { step, other, when: None }
    }

    /// Uses the substitute only for inputs for which `accepts` holds; for others the failure is returned.
    ///
    /// ```
    /// use llmspell::{Context, Error, Step, step, value};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let price = step(|product: &'static str, _| async move { Err::<u32, _>(Error::failed(format!("no price: {product}"))) });
    /// let price = price.fallback(value(10_u32)).when(|product| *product != "car").fallback(value(9_999_u32));
    /// assert_eq!(price.run("pen", &Context::new()).await?, 10);
    /// assert_eq!(price.run("car", &Context::new()).await?, 9_999);
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    pub fn when(mut self, accepts: impl Fn(&S::In) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(accepts));
        self
    }
}

impl<S, F> Step for Fallback<S, F>
where
    S: Step<In: Clone>,
    F: Step<In = S::In, Out = S::Out>,
{
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        // If the step fails, the provenance it has collected does not count.
        let trial = cx.trial_scope();
        let below = trial.as_ref().unwrap_or(cx);
        let tracked = below.with_output_tracking();
        let cause = match self.step.run(input.clone(), tracked.as_ref().map_or(below, |tracked| &tracked.cx)).await {
            Ok(output) => {
                if let Some(trial) = &trial {
                    cx.merge_provenance(trial);
                }
                return Ok(output);
            }
            Err(error) if error.kind() == ErrorKind::Cancelled || cx.is_past_deadline() => return Err(error),
            Err(error) => error.at(|| cx.path()),
        };
        if self.when.as_ref().is_some_and(|accepts| !accepts(&input)) {
            return Err(cause);
        }
        cx.record_event(|| EventKind::FellBack { cause: (&cause).into() });
        if tracked.is_some_and(|tracked| tracked.has_output()) {
            cx.send_restarted(true).await;
        }
        match self.other.run(input, cx).await {
            Ok(output) => {
                cx.record_provenance(|collected| {
                    collected.lower_quality(Quality::Fallback, [cause]);
                    let name = self.other.info().name.map(str::to_owned);
                    collected.add_choice(cx.path(), ServedBy::Fallback { name });
                });
                Ok(output)
            }
            Err(error) => {
                let mut causes = vec![cause];
                causes.extend_from_slice(error.causes());
                Err(error.with_causes(causes))
            }
        }
    }

    fn info(&self) -> StepInfo<'_> {
        // Called once: two calls on every level of a nest would be two to the power of its depth.
        let step = self.step.info();
        StepInfo { name: step.name, ..step.and(self.other.info()) }
    }
}
