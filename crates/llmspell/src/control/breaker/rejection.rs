//! What is said when a breaker refuses a call or changes its state.

use super::circuit::{Change, Refusal, TripReason};
use super::{Cause, Phase};
use crate::context::Context;
use crate::display;
use crate::error::{Error, ErrorKind};
use crate::observe::event::EventKind;
use crate::path::Path;

/// How much of the last error stands in a refusal, in characters.
const SHOWN: usize = 200;

impl Refusal {
    /// The error of the refused call.
    pub(super) fn error(&self) -> Error {
        let opened = self.why.explain();
        let message = match self.phase {
            Phase::HalfOpen => format!("not tried: the breaker waits for its probes; it opened because {opened}"),
            Phase::Open | Phase::Closed => format!("not tried: the breaker is open, because {opened}"),
        };
        let error = Error::new(ErrorKind::Rejected, message);
        match self.wait {
            Some(wait) => {
                let hint = format!("come back in {}, or let a fallback serve meanwhile", display::duration(wait));
                error.with_retry_after(wait).with_hint(self.why.last.hint().map_or(hint, str::to_owned))
            }
            None => {
                let hint = match self.why.last.kind() {
                    ErrorKind::Denied => "see to the credentials or the money first; `Breaker::reset` closes it again",
                    _ => "see to what failed first; `Breaker::reset` closes it again",
                };
                error.permanent().with_hint(self.why.last.hint().unwrap_or(hint).to_owned())
            }
        }
    }
}

impl TripReason {
    fn explain(&self) -> String {
        let last: String = self.last.to_string().chars().take(SHOWN).collect();
        let (failures, calls) = (self.failures, self.calls);
        match self.cause {
            Cause::Share(window) => {
                let (share, window) = (100.0 * failures as f64 / calls as f64, display::duration(window));
                format!("{failures} of {calls} calls failed within {window} ({share:.0} %), the last: {last}")
            }
            Cause::Row if failures == 1 => format!("a call failed: {last}"),
            Cause::Row => format!("{failures} calls in a row failed, the last: {last}"),
            Cause::Probe => format!("a probe failed: {last}"),
        }
    }
}

/// Reports a change of state, in front of the named step if there is one.
pub(super) fn report(change: Option<Change>, cx: &Context, step: impl FnOnce() -> Option<Path>) {
    let Some(change) = change else { return };
    cx.record_event(|| match change {
        Change::Opened(why, wait) => {
            let (failures, calls, error) = (why.failures, why.calls, (&why.last).into());
            EventKind::BreakerOpened { step: step(), failures, calls, wait, error }
        }
        Change::HalfOpened => EventKind::BreakerHalfOpen { step: step() },
        Change::Closed => EventKind::BreakerClosed { step: step() },
    });
}
