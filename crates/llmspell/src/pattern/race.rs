//! Several ways to the same result; one of them decides.
//!
//! *Waits for* the first contender to succeed; or to complete, an error included
//! ([`Race::first_complete`]); or to show output ([`Race::first_output`]).
//! *Cancels* every loser, at once: it is dropped before the race returns.
//! *Bounds* itself by its contenders; a [`Hedge`] by the share of calls it may double, or by the budget that it
//! shares with retries ([`RetryBudget`](crate::RetryBudget)).
//! *Fails with* all failures, none swallowed: they are the causes of one
//! [`ErrorKind::AllFailed`](crate::ErrorKind::AllFailed).
//!
//! Contenders run in the task of the caller; a panic is that contender's failure. Only the winner leaves a
//! trace in the quality and the provenance of the result.
//!
//! ```
//! use llmspell::{Context, Error, Step, race, step};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let broken = step(|_: &str, _| async move { Err::<&str, _>(Error::failed("down")) });
//! let mirror = step(|page: &'static str, _| async move { Ok(page) });
//! let page = race((broken, mirror)).run("index.html", &Context::new()).await?;
//! assert_eq!(page, "index.html"); // the error came first, but does not win
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod copy;
mod decide;
mod hedge;
mod impls;
mod latency;

use std::sync::Arc;

pub(in crate::pattern) use copy::seconded;
pub use hedge::{Hedge, Hedged};

use crate::context::{Context, FirstOutput};
use crate::error::Result;
use crate::step::{Step, StepInfo};
use decide::Rule;

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

/// Steps of one type of input and output that can race: a tuple of two to eight, a vector, or an array.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot race",
    label = "expected a tuple, a vector or an array of steps",
    note = "all contenders have the same input and output type, and the input must be `Clone`"
)]
pub trait Contenders: Sealed + Send + Sync + 'static {
    /// What every contender takes.
    type In: Send + 'static;
    /// What every contender gives.
    type Out: Send + 'static;

    #[doc(hidden)]
    fn info(&self) -> StepInfo<'_>;

    #[doc(hidden)]
    fn contend(
        &self,
        input: Self::In,
        cx: &Context,
        how: &RaceOptions,
    ) -> impl Future<Output = Result<Self::Out>> + Send;
}

/// How a race runs.
#[doc(hidden)]
pub struct RaceOptions {
    rule: Rule,
    gate: Option<Arc<FirstOutput>>,
}

/// Runs all contenders at once; the first to succeed wins.
/// An empty vector of contenders fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when it runs.
pub fn race<G: Contenders>(contenders: G) -> Race<G> {
    Race { contenders, rule: Rule::FirstSuccess, gated: false }
}

/// A race; made by [`race`].
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct Race<G> {
    contenders: G,
    rule: Rule,
    /// Whether the first output decides.
    gated: bool,
}

impl<G: Contenders> Race<G> {
    /// Lets the first contender to complete decide, be it with an error.
    pub fn first_complete(mut self) -> Self {
        self.rule = Rule::FirstComplete;
        self
    }

    /// Lets the first contender to show output with [`Context::emit`] decide, and then waits for its
    /// result. No output of a loser is ever seen. A contender that succeeds without any output wins too.
    pub fn first_output(mut self) -> Self {
        self.gated = true;
        self
    }
}

impl<G: Contenders> Step for Race<G> {
    type In = G::In;
    type Out = G::Out;

    async fn run(&self, input: G::In, cx: &Context) -> Result<G::Out> {
        let how = RaceOptions { rule: self.rule, gate: self.gated.then(Arc::default) };
        self.contenders.contend(input, cx, &how).await
    }

    fn info(&self) -> StepInfo<'_> {
        self.contenders.info()
    }
}
