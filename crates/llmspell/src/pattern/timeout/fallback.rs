//! A substitute for a step that failed.

use std::sync::Arc;

use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::observe::outcome::{Quality, ServedBy};
use crate::step::{Step, StepInfo};

/// A step with a substitute; made by [`Step::fallback`].
///
/// The result of the substitute is marked as [`Quality::Fallback`], with the failure it stands in for among
/// the causes. If both fail, the error of the substitute comes out, with that of the step among its causes. A reader
/// who has seen partial output of the step is told that it no longer counts ([`ChunkData::Restarted`](crate::ChunkData::Restarted)).
/// Work that was cancelled gets no substitute, and neither does work whose time is up: put a
/// [deadline](Step::deadline) inside of the fallback if it should be covered.
#[must_use = "a step does nothing until it runs"]
pub struct Fallback<S: Step, F> {
    step: S,
    other: F,
    when: Option<Arc<Serves<S::In>>>,
}

type Serves<In> = dyn Fn(&In) -> bool + Send + Sync;

impl<S: Step + Clone, F: Clone> Clone for Fallback<S, F> {
    fn clone(&self) -> Self {
        Fallback { step: self.step.clone(), other: self.other.clone(), when: self.when.clone() }
    }
}

impl<S: Step, F> Fallback<S, F> {
    pub(crate) fn new(step: S, other: F) -> Self {
        Fallback { step, other, when: None }
    }

    /// Takes the substitute only for inputs for which `serves` holds; for others the failure stays as it is.
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
    pub fn when(mut self, serves: impl Fn(&S::In) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(serves));
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
        // If the step fails, what it has collected on the way does not count.
        let trial = cx.apart();
        let below = trial.as_ref().unwrap_or(cx);
        let noted = below.noting_output();
        let cause = match self.step.run(input.clone(), noted.as_ref().map_or(below, |noted| &noted.cx)).await {
            Ok(output) => {
                if let Some(trial) = &trial {
                    cx.take_over(trial);
                }
                return Ok(output);
            }
            Err(error) if error.kind() == ErrorKind::Cancelled || cx.is_past_deadline() => return Err(error),
            Err(error) => error.at(|| cx.path()),
        };
        if self.when.as_ref().is_some_and(|serves| !serves(&input)) {
            return Err(cause);
        }
        cx.fact(|| EventKind::FellBack { cause: (&cause).into() });
        if noted.is_some_and(|noted| noted.any()) {
            cx.restart(true).await;
        }
        match self.other.run(input, cx).await {
            Ok(output) => {
                cx.note(|entries| {
                    entries.lower_quality(Quality::Fallback, [cause]);
                    let name = self.other.info().name.map(str::to_owned);
                    entries.add_choice(cx.path(), ServedBy::Fallback { name });
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
        // Asked once: twice on every level of a nest is twice to the power of its depth.
        let step = self.step.info();
        StepInfo { name: step.name, ..step.and(self.other.info()) }
    }
}
