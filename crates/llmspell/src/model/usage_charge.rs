//! The usage that a model call is charged with.

use super::event::ModelEvent;
use super::prices::Prices;
use super::request::{BYTES_PER_TOKEN, Request};
use crate::context::Context;
use crate::observe::usage::Usage;

/// Charges the usage of a call as the provider reports it.
///
/// Providers report usage with the last event of a reply. For an interrupted reply, after a timeout or a lost race, they
/// report nothing, but the caller still pays for the generated output. So this counts the output so far at
/// [`BYTES_PER_TOKEN`].
pub(super) struct UsageCharge<'a> {
    cx: &'a Context,
    prices: Prices,
    request: Request,
    charged: Usage,
    /// The number of output bytes so far.
    output_bytes: u64,
    is_complete: bool,
}

impl<'a> UsageCharge<'a> {
    pub(super) fn new(request: Request, prices: Prices, cx: &'a Context) -> Self {
        UsageCharge { cx, prices, request, charged: Usage::default(), output_bytes: 0, is_complete: false }
    }

    /// Charges the usage of an event, and adds the cost to it.
    pub(super) fn on_event(&mut self, event: &mut ModelEvent) {
        match event {
            ModelEvent::Usage(usage) => {
                *usage = self.prices.of(*usage);
                let more = usage.without(self.charged);
                self.cx.record_usage(more);
                self.charged += more;
            }
            ModelEvent::Text(text) | ModelEvent::Reasoning(text) => self.output_bytes += text.len() as u64,
            ModelEvent::ToolCall(delta) => self.output_bytes += delta.arguments.len() as u64,
            _ => {}
        }
    }

    /// Records that the reply is complete: the usage that the provider has reported is final.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for UsageCharge<'_> {
    fn drop(&mut self) {
        // The request was refused or has not started, as far as we know.
        if self.is_complete || self.output_bytes == 0 {
            return;
        }
        let input = if self.charged.input_tokens > 0 { 0 } else { self.request.estimated_tokens() };
        let output = self.output_bytes.div_ceil(BYTES_PER_TOKEN).saturating_sub(self.charged.output_tokens);
        let usage = Usage::new(input, output);
        if !usage.is_zero() {
            self.cx.record_usage(self.prices.of(usage));
        }
    }
}
