//! Admission to a queue of flow control: the wait of a call, and its events.
//!
//! This module owns [`EventKind::Queued`], [`EventKind::Admitted`] and the [`EventKind::Refused`] of a queue, for
//! limits, rates and budgets alike. It must not know how a queue decides.

use tokio::time::Instant;

use super::Context;
use crate::error::{Error, Result};
use crate::observe::event::{EventKind, RejectedBy, WaitKind};

impl Context {
    /// Waits for admission to `queue`, and records when the call is queued and whether it is admitted or rejected.
    ///
    /// The wait ends early if this work is cancelled or `deadline` passes. `name` is that of the waiting step, if its
    /// call has not begun and its name is not in the path yet.
    ///
    /// # Errors
    /// Why the call was not admitted. The error has no path yet: only the caller knows whether its name is in that of
    /// this context.
    pub(crate) async fn admit<T>(
        &self,
        queue: WaitKind,
        name: Option<&str>,
        deadline: Option<Instant>,
        wait: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let since = Instant::now();
        let step = || name.map(|name| self.path().join(name));
        self.record_event(|| EventKind::Queued { step: step(), queue });
        let result = self.wait_or_cancelled(deadline, wait).await.and_then(|waited| waited);
        match &result {
            Ok(_) => self.record_event(|| EventKind::Admitted { step: step(), queue, waited: since.elapsed() }),
            Err(error) => self.rejected(queue, name, error),
        }
        result
    }

    /// Records that `queue` rejected a call.
    pub(crate) fn rejected(&self, queue: WaitKind, name: Option<&str>, error: &Error) {
        let by = match queue {
            WaitKind::Limit => RejectedBy::Limit,
            WaitKind::Rate => RejectedBy::Rate,
            WaitKind::Budget => RejectedBy::Budget,
        };
        let step = || name.map(|name| self.path().join(name));
        self.record_event(|| EventKind::Refused { step: step(), by, error: error.into() });
    }
}
