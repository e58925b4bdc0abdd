//! What a call of a model is charged with.

use super::event::ModelEvent;
use super::request::{BYTES_PER_TOKEN, Request};
use super::step::Prices;
use crate::context::Context;
use crate::observe::usage::Usage;

/// Charges what the provider says that a call has used.
///
/// Providers say so with the last piece of a reply. Of one that is broken off they say nothing, by a timeout or because
/// another contender has won, but what was made of it is paid for. So what has come in by then is counted at
/// [`BYTES_PER_TOKEN`].
pub(super) struct UsageCharge<'a> {
    cx: &'a Context,
    prices: Prices,
    request: Request,
    charged: Usage,
    /// How many bytes of output have come in.
    heard: u64,
    is_complete: bool,
}

impl<'a> UsageCharge<'a> {
    pub(super) fn new(request: Request, prices: Prices, cx: &'a Context) -> Self {
        UsageCharge { cx, prices, request, charged: Usage::default(), heard: 0, is_complete: false }
    }

    /// Charges what an event tells, and puts the cost into it.
    pub(super) fn hear(&mut self, event: &mut ModelEvent) {
        match event {
            ModelEvent::Usage(usage) => {
                *usage = self.prices.of(*usage);
                let more = usage.without(self.charged);
                self.cx.record_usage(more);
                self.charged += more;
            }
            ModelEvent::Text(text) | ModelEvent::Reasoning(text) => self.heard += text.len() as u64,
            ModelEvent::ToolCall(delta) => self.heard += delta.arguments.len() as u64,
            _ => {}
        }
    }

    /// The reply has come to its end: what its provider has said is all there is to say.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for UsageCharge<'_> {
    fn drop(&mut self) {
        // Refused, or not begun, for all that anybody knows.
        if self.is_complete || self.heard == 0 {
            return;
        }
        let input = if self.charged.input_tokens > 0 { 0 } else { self.request.estimated_tokens() };
        let output = self.heard.div_ceil(BYTES_PER_TOKEN).saturating_sub(self.charged.output_tokens);
        let usage = Usage::new(input, output);
        if !usage.is_zero() {
            self.cx.record_usage(self.prices.of(usage));
        }
    }
}
