//! The error of a call that a breaker rejects, and the events of its state changes.

use super::circuit::{BreakerRejection, CircuitChange, Phase, TripCause, TripReason};
use crate::context::Context;
use crate::display;
use crate::error::{Error, ErrorKind};
use crate::observe::event::EventKind;
use crate::path::Path;

/// How much of the last error a rejection quotes, in characters.
const MAX_QUOTED: usize = 200;

impl BreakerRejection {
    /// Returns the error of the rejected call.
    pub(super) fn error(&self) -> Error {
        let opened = self.reason.explain();
        let message = match self.phase {
            Phase::HalfOpen => format!("not called: the breaker waits for its probes; it opened because {opened}"),
            Phase::Open | Phase::Closed => format!("not called: the breaker is open because {opened}"),
        };
        let error = Error::new(ErrorKind::Rejected, message);
        match self.wait {
            Some(wait) => {
                let hint = format!("retry in {}, or serve a fallback meanwhile", display::duration(wait));
                error.with_retry_after(wait).with_hint(self.reason.last.hint().map_or(hint, str::to_owned))
            }
            None => {
                let hint = match self.reason.last.kind() {
                    ErrorKind::Denied => "check the credentials and the account balance, then call `Breaker::reset`",
                    _ => "fix what failed, then call `Breaker::reset`",
                };
                error.permanent().with_hint(self.reason.last.hint().unwrap_or(hint).to_owned())
            }
        }
    }
}

impl TripReason {
    fn explain(&self) -> String {
        let last: String = self.last.to_string().chars().take(MAX_QUOTED).collect();
        let (failures, calls) = (self.failures, self.calls);
        match self.cause {
            TripCause::FailureRate(window) => {
                let (share, window) = (100.0 * failures as f64 / calls as f64, display::duration(window));
                format!("{failures} of {calls} calls failed within {window} ({share:.0} %), most recently: {last}")
            }
            TripCause::Consecutive if failures == 1 => format!("a call failed: {last}"),
            TripCause::Consecutive => format!("{failures} calls in a row failed, most recently: {last}"),
            TripCause::Probe => format!("a probe failed: {last}"),
        }
    }
}

/// Records a change of state, before the named step if there is one.
pub(super) fn report(change: Option<CircuitChange>, cx: &Context, step: impl FnOnce() -> Option<Path>) {
    let Some(change) = change else { return };
    cx.record_event(|| match change {
        CircuitChange::Opened(reason, wait) => {
            let (failures, calls, error) = (reason.failures, reason.calls, (&reason.last).into());
            EventKind::BreakerOpened { step: step(), failures, calls, wait, error }
        }
        CircuitChange::HalfOpened => EventKind::BreakerHalfOpen { step: step() },
        CircuitChange::Closed => EventKind::BreakerClosed { step: step() },
    });
}
