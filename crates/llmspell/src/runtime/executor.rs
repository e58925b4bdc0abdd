//! The executor: the only module that spawns tasks and threads.
//!
//! Everything that runs on its own task or thread starts here, so that it can be stopped from here: a [`WorkerPool`]
//! under streams and groups, one task under [`spawned`](crate::Step::spawned), one thread under
//! [`Context::blocking`](crate::Context::blocking).

mod worker_pool;
mod yield_policy;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

pub(crate) use worker_pool::{GRACE, PoolTask, WorkerPool};

use crate::error::{Error, ErrorKind, Result};
use crate::runtime::sync::AbortHandle;

/// How long an aborted task may take to end before it counts as a runaway.
pub(crate) const ABORT_GRACE: Duration = Duration::from_millis(5);

/// Spawns a task that is neither awaited nor stopped. Returns false, and spawns nothing, where there is no runtime.
pub(crate) fn spawn_detached(work: impl Future<Output = ()> + Send + 'static) -> bool {
    let Ok(runtime) = Handle::try_current() else { return false };
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    runtime.spawn(work);
    true
}

/// Spawns a task that is not awaited, and returns a handle that aborts it.
#[cfg(not(shuttle))]
fn spawn_abortable(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    tokio::spawn(work).abort_handle()
}

#[cfg(shuttle)]
fn spawn_abortable(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    shuttle::future::spawn(work).abort_handle()
}

/// Spawns a task, and returns a handle to join or abort it. The caller must stop the task once its own caller is gone.
pub(crate) fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    tokio::spawn(work)
}

/// Runs `work` on a thread. Aborting it cancels work that still waits for a thread, and only that.
pub(crate) fn spawn_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    tokio::task::spawn_blocking(work)
}

/// Returns the error of a task or thread that ended without a result.
pub(crate) fn join_error(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(payload) => panicked(payload.as_ref()),
        Err(_) => Error::new(ErrorKind::Cancelled, "the runtime shut down"),
    }
}

/// Returns the error of a step that panicked.
fn panicked(payload: &(dyn Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::new(ErrorKind::Panicked, format!("panicked: {text}"))
}

/// Runs `work`, and turns a panic in it into an error. The value that panicked must not be used again.
#[inline]
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| panicked(payload.as_ref()))
}
