//! The one place of this crate that spawns.
//!
//! What the other side of a connection does goes on when a caller drops its call: a cancellation has to be sent, a
//! process has to be ended and reaped. Each connection has one task that sees to it; it ends with the connection. So does
//! an attempt to connect, which outlives the caller who began it, but not the client.

use tokio::runtime::Handle;

/// Starts a task that nobody waits for; nothing starts where there is no runtime.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        #[expect(
            clippy::disallowed_methods,
            reason = "one task a connection and one an attempt to connect, which end with them"
        )]
        runtime.spawn(work);
    }
}
