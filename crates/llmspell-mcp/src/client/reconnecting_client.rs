//! A client that reconnects when its connection is lost, and makes the calls of tools.
//!
//! It owns the current connection, the current attempt and the backoff between attempts. It repeats a call only if the
//! call was certainly not sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use llmspell::{Context, Error, ErrorKind, Result};
use rmcp::model::{CallToolRequestParams, JsonObject, ServerResult};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::answer;
use super::attempt::{Attempt, AttemptState, AttemptWaiter};
use super::connection::{CallFailure, Connection};
use super::connector::Connector;
use super::endpoint::{CallOptions, Endpoint};

/// The backoff before the attempt that follows a failure; it doubles with each failure, up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

pub(crate) struct ReconnectingClient {
    connector: Arc<Connector>,
    state: Mutex<ClientState>,
}

#[derive(Default)]
struct ClientState {
    connection: Option<Arc<Connection>>,
    /// The attempt to connect that is running, or whose result has not been taken.
    attempt: Option<Attempt>,
    /// Consecutive failed attempts, and connections over which no call was answered.
    failures: u32,
}

/// The connection, or the way to get one.
enum Lookup {
    Connection(Arc<Connection>),
    Attempt { waiter: AttemptWaiter, starts_at: Instant },
}

impl ClientState {
    /// Takes the result of the attempt if it has ended.
    fn take_result(&mut self) {
        let Some(state) = self.attempt.as_ref().map(Attempt::state) else { return };
        match state {
            AttemptState::Running => return,
            AttemptState::Finished(Ok(connection)) => self.connection = Some(connection),
            AttemptState::Finished(Err(_)) => self.failures = self.failures.saturating_add(1),
            // An aborted attempt says nothing about the server.
            AttemptState::Aborted => {}
        }
        self.attempt = None;
    }

    /// Returns the delay before the next attempt.
    fn backoff(&self) -> Duration {
        let doublings = self.failures.checked_sub(1);
        doublings
            .map_or(Duration::ZERO, |doublings| MIN_BACKOFF.saturating_mul(1 << doublings.min(10)).min(MAX_BACKOFF))
    }
}

impl ReconnectingClient {
    pub(crate) fn new(endpoint: Endpoint, options: CallOptions) -> Result<Self> {
        Ok(ReconnectingClient { connector: Arc::new(Connector::new(endpoint, options)?), state: Mutex::default() })
    }

    /// Returns the server's name for messages.
    pub(crate) fn server(&self) -> &str {
        &self.connector.server
    }

    pub(crate) fn options(&self) -> &CallOptions {
        &self.connector.options
    }

    pub(crate) fn changes(&self) -> u64 {
        *self.connector.changes.borrow()
    }

    pub(crate) async fn changed_since(&self, seen: u64) {
        // Cannot fail: the sender is in `self`.
        let _ = self.connector.changes.subscribe().wait_for(|count| *count > seen).await;
    }

    /// Locks the state. The lock is never held across an `await`.
    fn state(&self) -> MutexGuard<'_, ClientState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.take_result();
        state
    }

    pub(crate) fn process_id(&self) -> Option<u32> {
        self.state().connection.as_ref().filter(|connection| connection.is_open())?.process_id
    }

    pub(crate) async fn close(&self) {
        let (connection, attempt) = {
            let mut state = self.state();
            (state.connection.take(), state.attempt.take())
        };
        let attempted = match attempt {
            Some(attempt) => attempt.close().await,
            None => None,
        };
        for connection in connection.into_iter().chain(attempted) {
            connection.close().await;
        }
    }

    /// Returns the connection, and reconnects if it was lost. All callers wait for the same attempt, each until its own
    /// deadline.
    pub(crate) async fn connection(&self, cx: &Context) -> Result<Arc<Connection>> {
        // Twice, because an attempt ends with the runtime of the caller that started it.
        for _ in 0..2 {
            let (waiter, starts_at) = match self.lookup() {
                Lookup::Connection(connection) => return Ok(connection),
                Lookup::Attempt { waiter, starts_at } => (waiter, starts_at),
            };
            let server = self.server();
            let delay = starts_at.saturating_duration_since(Instant::now());
            if !delay.is_zero() && cx.remaining().is_some_and(|left| left <= delay) {
                let message = format!("the MCP server `{server}` has failed; the next attempt is after the deadline");
                return Err(Error::failed(message).with_retry_after(delay));
            }
            let cancellation = waiter.cancellation();
            let result = match cx.deadline() {
                None => Ok(waiter.result().await),
                Some(deadline) => timeout_at(deadline, waiter.result()).await,
            };
            match result {
                Ok(Some(result)) => return result,
                Ok(None) if cancellation.is_cancelled() => {
                    let message =
                        format!("the connection to the MCP server `{server}` was closed before it was established");
                    return Err(Error::new(ErrorKind::Cancelled, message));
                }
                Ok(None) => {}
                Err(_) => {
                    let message = format!("the MCP server `{server}` was not connected before the deadline");
                    let error = Error::new(ErrorKind::Timeout, message);
                    return Err(error.with_hint("repeat the call, or allow more time: connecting continues"));
                }
            }
        }
        Err(Error::failed(format!("the attempt to connect to the MCP server `{}` was aborted", self.server()))
            .transient())
    }

    fn lookup(&self) -> Lookup {
        let mut state = self.state();
        if let Some(connection) = &state.connection {
            if connection.is_open() {
                return Lookup::Connection(connection.clone());
            }
            state.failures = if connection.has_answered() { 0 } else { state.failures.saturating_add(1) };
            state.connection = None;
        }
        let starts_at = Instant::now() + state.backoff();
        let attempt = state.attempt.get_or_insert_with(|| Attempt::start(self.connector.clone(), starts_at));
        Lookup::Attempt { waiter: attempt.waiter(), starts_at: attempt.starts_at }
    }

    /// Calls a tool by its name on the server.
    pub(crate) async fn call(
        &self,
        name: &str,
        arguments: JsonObject,
        idempotent: bool,
        cx: &Context,
    ) -> Result<Value> {
        let deadline = Instant::now() + self.options().call_timeout;
        let cx = cx.with_deadline(deadline);
        let deadline = cx.deadline().unwrap_or(deadline);
        let params = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments);
        let is_sent = Arc::new(AtomicBool::new(false));
        // A call whose deadline has passed is not started.
        let is_late = deadline <= Instant::now();
        let result = match is_late {
            true => None,
            false => timeout_at(deadline, self.call_or_resend(params, idempotent, &is_sent, &cx)).await.ok(),
        };
        match result {
            Some(result) => answer::value(result?, name),
            None => Err(answer::timed_out(self.server(), idempotent, is_sent.load(Ordering::Acquire))),
        }
    }

    /// Makes a call, and repeats it once if it was not sent. A call that may have been sent is not repeated.
    async fn call_or_resend(
        &self,
        params: CallToolRequestParams,
        idempotent: bool,
        is_sent: &Arc<AtomicBool>,
        cx: &Context,
    ) -> Result<ServerResult> {
        let mut is_second = false;
        loop {
            let connection = self.connection(cx).await?;
            match connection.call(params.clone(), is_sent, cx).await {
                Ok(result) => return Ok(result),
                Err(CallFailure::NotSent) if !is_second => {
                    connection.retire();
                    is_second = true;
                }
                Err(CallFailure::NotSent) => {
                    connection.retire();
                    let message = format!("cannot reach the MCP server `{}`; the call was not made", self.server());
                    return Err(Error::failed(message).transient());
                }
                Err(CallFailure::Unknown) => {
                    connection.retire();
                    return Err(answer::may_have_happened(self.server(), idempotent));
                }
                Err(CallFailure::Failed(error)) => {
                    if answer::is_connection_lost(&error) {
                        connection.retire();
                    }
                    return Err(answer::failure(&error, self.server(), idempotent));
                }
            }
        }
    }
}
