//! Contenders for one result, of which the first decides.
//!
//! *Waits for* the first contender to succeed; or to complete, an error included ([`Race::first_complete`]); or
//! to emit output ([`Race::first_output`]).
//! *Cancels* every loser at once: it is dropped before the race returns.
//! *Bounds* nothing beyond the number of contenders. A [`Hedge`] is bounded by the share of calls that it can
//! double, or by the budget that it shares with retries ([`RetryBudget`](crate::control::RetryBudget)).
//! *Fails with* [`ErrorKind::AllFailed`](crate::ErrorKind::AllFailed), with all failures as causes.
//!
//! Contenders run in the task of the caller. A panic is the failure of its contender. Only the winner
//! contributes to the quality and the provenance of the result.
//!
//! ```
//! use llmspell::{Context, Error, Step, race, step};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let broken = step(|_: &str, _| async move { Err::<&str, _>(Error::failed("down")) });
//! let mirror = step(|page: &'static str, _| async move { Ok(page) });
//! let page = race((broken, mirror)).run("index.html", &Context::new()).await?;
//! assert_eq!(page, "index.html"); // the error came first, but an error does not win
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod copy;
mod decide;
mod hedge;
mod impls;
mod latency;

use std::sync::Arc;

pub(in crate::pattern) use copy::run_with_copy;
pub use hedge::{Hedge, Hedged};

use crate::context::{Context, FirstOutput};
use crate::error::Result;
use crate::step::{Step, StepInfo};
use decide::Rule;

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

/// Steps with one input type and one output type that can race: a tuple of two to eight steps, a vector, or an
/// array.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot race",
    label = "expected a tuple, a vector or an array of steps",
    note = "all contenders have the same input and output type, and the input must be `Clone`"
)]
pub trait Contenders: Sealed + Send + Sync + 'static {
    /// The input of every contender.
    type In: Send + 'static;
    /// The output of every contender.
    type Out: Send + 'static;

    #[doc(hidden)]
    fn info(&self) -> StepInfo<'_>;

    #[doc(hidden)]
    fn contend(
        &self,
        input: Self::In,
        cx: &Context,
        options: &RaceOptions,
    ) -> impl Future<Output = Result<Self::Out>> + Send;
}

/// The options of a race.
#[doc(hidden)]
#[derive(Debug)]
pub struct RaceOptions {
    rule: Rule,
    first_output: Option<Arc<FirstOutput>>,
}

/// Returns a step that runs all contenders concurrently; the first to succeed wins.
///
/// An empty vector of contenders fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when it runs.
pub fn race<G: Contenders>(contenders: G) -> Race<G> {
    Race { contenders, rule: Rule::FirstSuccess, first_output: false }
}

/// A race; made by [`race`].
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Race<G> {
    contenders: G,
    rule: Rule,
    /// Whether the first output decides.
    first_output: bool,
}

impl<G: Contenders> Race<G> {
    /// Makes the first contender to complete win, even with an error.
    pub fn first_complete(mut self) -> Self {
        self.rule = Rule::FirstComplete;
        self
    }

    /// Makes the first contender to emit output ([`Context::emit`]) win; the race then waits for its result.
    ///
    /// Output of a loser is never seen. A contender that succeeds without output wins as well.
    pub fn first_output(mut self) -> Self {
        self.first_output = true;
        self
    }
}

impl<G: Contenders> Step for Race<G> {
    type In = G::In;
    type Out = G::Out;

    async fn run(&self, input: G::In, cx: &Context) -> Result<G::Out> {
        let options = RaceOptions { rule: self.rule, first_output: self.first_output.then(Arc::default) };
        self.contenders.contend(input, cx, &options).await
    }

    fn info(&self) -> StepInfo<'_> {
        self.contenders.info()
    }
}
