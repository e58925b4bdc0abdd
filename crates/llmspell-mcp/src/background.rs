//! The only place in this crate that spawns tasks.
//!
//! The remote side of a connection keeps working when a caller drops its call: a cancellation must be sent, a process
//! must be ended and reaped. Each connection has one task for this, which ends with the connection. Each attempt to
//! connect has one, too: it may outlive the caller who began it, but not the client.

use tokio::runtime::Handle;

/// Starts a detached task. Does nothing outside a runtime.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        #[expect(
            clippy::disallowed_methods,
            reason = "one task per connection and one per attempt to connect, which end with them"
        )]
        runtime.spawn(work);
    }
}
