//! Consumption: what a step says that it has used, and who above it wants to know.

use std::sync::Arc;

use super::Context;
use super::node::Facet;
use crate::control::rate::{RateLimits, RateReservation};
use crate::error::Result;
use crate::observe::event::EventKind;
use crate::observe::usage::Usage;

/// One call of a step under a rate or a budget, as the work inside of it sees it.
pub(crate) trait UsageMeter: Send + Sync {
    /// Whose meter it is: what is used counts once for each account.
    fn account(&self) -> MeterId;

    /// Something was used, maybe after the call has ended.
    fn used(&self, usage: Usage);

    /// The call goes out: nothing further in holds it up or refuses it any more. True if that was known, and so to
    /// every meter further out, too.
    fn begun(&self) -> bool {
        false
    }

    /// The turn of the call, if it had to have one.
    fn turn(&self) -> Option<&RateReservation> {
        None
    }

    /// A server has said what it has left. False if that is no concern of this meter.
    fn told(&self, limits: &RateLimits) -> bool {
        let _ = limits;
        false
    }
}

/// A rate or a budget, whichever of its clones: the address of what they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MeterId(usize);

impl MeterId {
    pub(crate) fn of<T>(shared: &Arc<T>) -> Self {
        MeterId(Arc::as_ptr(shared).addr())
    }
}

impl Context {
    /// Says that this work has consumed something.
    ///
    /// Say it as soon as it is known, if need be several times, each time what came on top: every rate and
    /// budget around the work is charged at once, also if the work has outlived its caller. It is part of the
    /// [outcome](crate::Provenance::usage) of every item and [observed](crate::Step::observed) step around it,
    /// whether or not the attempt it was spent on is the one that served: it was paid for. And it is an
    /// [event](crate::Fact::Used), which the [report](Context::report) adds up.
    ///
    /// ```
    /// use llmspell::{Context, Step, Usage, step};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ask = step(|question: &'static str, cx: Context| async move {
    ///     cx.record_usage(Usage::new(question.len() as u64, 1).with_cost(0.001)); // as the answer tells
    ///     Ok("yes")
    /// });
    /// let outcome = ask.with_outcome().run("Is it?", &Context::new()).await?;
    /// assert_eq!(outcome.provenance.usage().tokens(), 7);
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    pub fn record_usage(&self, usage: Usage) {
        self.fact(|| EventKind::Used(usage));
        for (place, meter) in self.meters().enumerate() {
            let account = meter.account();
            // A call inside of a call of the same account: the inner one is charged, the outer one hears of it.
            let is_charged = self.meters().take(place).any(|inner| inner.account() == account);
            meter.used(if is_charged { Usage::default() } else { usage });
        }
        self.note_throughout(|entries| entries.add_usage(usage));
    }

    /// Hands on what a server has said about its limits, such as in the headers of an answer.
    ///
    /// The nearest [rate](crate::Rate) around this work takes it over: at once where it is tighter, and never
    /// beyond what was configured.
    pub fn rate_limits(&self, limits: RateLimits) {
        self.fact(|| EventKind::RateLimits(limits));
        self.meters().find(|meter| meter.told(&limits));
    }

    fn meters(&self) -> impl Iterator<Item = &Arc<dyn UsageMeter>> {
        self.chain().filter_map(|node| match &node.facet {
            Facet::UsageMeter(meter) => Some(meter),
            _ => None,
        })
    }

    /// A context whose work is metered.
    pub(crate) fn metered(&self, meter: Arc<dyn UsageMeter>) -> Context {
        self.child(Facet::UsageMeter(meter))
    }

    /// Whether this work is metered for `account` already.
    pub(crate) fn is_metered_for(&self, account: MeterId) -> bool {
        self.is_metered() && self.meters().any(|meter| meter.account() == account)
    }

    pub(crate) fn is_metered(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.metered)
    }

    /// Tells every meter that the call goes out. It is for the innermost of the modifiers that may hold a call up or
    /// refuse it to say, once it has let the call in: until then nothing has been used.
    #[inline]
    pub(crate) fn begun(&self) {
        if self.is_metered() {
            self.tell_begun();
        }
    }

    fn tell_begun(&self) {
        self.meters().find(|meter| meter.begun());
    }

    /// Takes over the turn that a call further out has had at the rate of `account`; false if there is none to have.
    pub(crate) fn takes_turn_over(&self, account: MeterId) -> bool {
        self.is_metered()
            && self
                .meters()
                .any(|meter| meter.account() == account && meter.turn().is_some_and(RateReservation::hand_over))
    }

    /// Whether a pause has begun at a rate further out since this call, which has not begun, had its turn there.
    pub(crate) fn is_revoked(&self) -> bool {
        self.is_metered() && self.turns().any(RateReservation::is_revoked)
    }

    /// Waits for every turn that was lost, at the end of its line. `name` is that of the step, if its call has not
    /// begun.
    pub(crate) async fn wait_for_turns(&self, name: Option<&str>) -> Result<()> {
        while let Some(turn) = self.turns().find(|turn| turn.is_revoked()) {
            turn.wait_again(self, name).await?;
        }
        Ok(())
    }

    fn turns(&self) -> impl Iterator<Item = &RateReservation> {
        self.meters().filter_map(|meter| meter.turn())
    }
}
