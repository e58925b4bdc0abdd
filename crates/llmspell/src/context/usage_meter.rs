//! Usage reports of the work below a rate or a budget.
//!
//! Flow control implements [`UsageMeter`]; this module must not know its reservations.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use super::Context;
use super::node::NodeKind;
use crate::error::Result;
use crate::observe::event::EventKind;
use crate::observe::rate_limits::RateLimits;
use crate::observe::usage::Usage;

/// The meter of one call under a rate or a budget, as the work inside the call sees it.
pub(crate) trait UsageMeter: Send + Sync {
    /// Returns the rate or budget of this meter: usage counts once for each of them.
    fn id(&self) -> MeterId;

    /// Records usage, perhaps after the call has ended.
    fn on_usage(&self, usage: Usage);

    /// Records that the call has started: no inner limit can delay or reject it any more.
    ///
    /// Returns whether this was known. If so, every meter further out knows it as well.
    fn on_start(&self) -> bool {
        false
    }

    /// Hands the reservation of this call over to an inner call under the same meter. Returns false if there is none.
    fn hand_over(&self) -> bool {
        false
    }

    /// Returns whether the reservation of this call was revoked by a pause before the call started.
    fn is_revoked(&self) -> bool {
        false
    }

    /// Waits for a new reservation after the present one was revoked. `name` is that of the step whose call waits.
    fn renew<'a>(&'a self, cx: &'a Context, name: Option<&'a str>) -> Renewal<'a> {
        let _ = (cx, name);
        Box::pin(ready(Ok(())))
    }

    /// Takes over the limits that a server reported. Returns false if they do not concern this meter.
    fn on_rate_limits(&self, limits: &RateLimits) -> bool {
        let _ = limits;
        false
    }
}

/// The wait for a new reservation; boxed, because it is rare and its meter is a trait object.
pub(crate) type Renewal<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// The identity of a rate or a budget: the address that its clones share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MeterId(usize);

impl MeterId {
    pub(crate) fn of<T>(shared: &Arc<T>) -> Self {
        MeterId(Arc::as_ptr(shared).addr())
    }
}

impl Context {
    /// Records usage of this work.
    ///
    /// Report usage as soon as it is known, in increments if necessary. Every rate and budget around the work
    /// is charged at once, also if the work has outlived its caller. The usage is part of the
    /// [outcome](crate::observe::Provenance::usage) of every enclosing item and step [with an
    /// outcome](crate::Step::with_outcome), even if the attempt failed, because it was paid for. An
    /// [event](crate::observe::EventKind::Used) carries it to the [report](Context::report).
    ///
    /// ```
    /// use llmspell::{Context, Step, step};
    /// use llmspell::observe::Usage;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ask = step(|question: &'static str, cx: Context| async move {
    ///     cx.record_usage(Usage::new(question.len() as u64, 1).with_cost(0.001)); // from the response
    ///     Ok("yes")
    /// });
    /// let outcome = ask.with_outcome().run("Is it?", &Context::new()).await?;
    /// assert_eq!(outcome.provenance.usage().tokens(), 7);
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    pub fn record_usage(&self, usage: Usage) {
        self.record_event(|| EventKind::Used(usage));
        for (depth, meter) in self.meters().enumerate() {
            let id = meter.id();
            // If an inner call has the same meter, the inner call is charged. The outer one only learns that
            // there was usage.
            let is_charged = self.meters().take(depth).any(|inner| inner.id() == id);
            meter.on_usage(if is_charged { Usage::default() } else { usage });
        }
        self.record_cost(|collected| collected.add_usage(usage));
    }

    /// Reports the limits that a server has stated, for example in response headers.
    ///
    /// The nearest [rate](crate::Rate) around this work applies them: at once where they are tighter, and never
    /// beyond its configuration.
    pub fn rate_limits(&self, limits: RateLimits) {
        self.record_event(|| EventKind::RateLimits(limits));
        self.meters().find(|meter| meter.on_rate_limits(&limits));
    }

    fn meters(&self) -> impl Iterator<Item = &Arc<dyn UsageMeter>> {
        self.chain().filter_map(|node| match &node.kind {
            NodeKind::UsageMeter(meter) => Some(meter),
            _ => None,
        })
    }

    /// Returns a context whose usage `meter` receives.
    pub(crate) fn with_meter(&self, meter: Arc<dyn UsageMeter>) -> Context {
        self.child(NodeKind::UsageMeter(meter))
    }

    /// Returns whether the meter `id` already covers this work.
    pub(crate) fn is_metered_for(&self, id: MeterId) -> bool {
        self.is_metered() && self.meters().any(|meter| meter.id() == id)
    }

    pub(crate) fn is_metered(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.metered)
    }

    /// Reports to every meter that the call has started.
    ///
    /// Called by the innermost adapter that can delay or reject the call, once it has admitted the call.
    /// Nothing has been used until then.
    #[inline]
    pub(crate) fn report_start(&self) {
        if self.is_metered() {
            self.report_start_to_meters();
        }
    }

    fn report_start_to_meters(&self) {
        self.meters().find(|meter| meter.on_start());
    }

    /// Takes over the reservation of an outer call at the rate `id`. Returns false if there is none.
    pub(crate) fn take_over_reservation(&self, id: MeterId) -> bool {
        self.is_metered() && self.meters().any(|meter| meter.id() == id && meter.hand_over())
    }

    /// Returns whether a pause at an outer rate has revoked the reservation of this call, which has not
    /// started.
    pub(crate) fn is_revoked(&self) -> bool {
        self.is_metered() && self.meters().any(|meter| meter.is_revoked())
    }

    /// Waits for a new reservation in place of each revoked one, at the end of its queue.
    ///
    /// `name` is that of the step if its call has not started.
    pub(crate) async fn renew_reservations(&self, name: Option<&str>) -> Result<()> {
        while let Some(meter) = self.meters().find(|meter| meter.is_revoked()) {
            meter.renew(self, name).await?;
        }
        Ok(())
    }
}
