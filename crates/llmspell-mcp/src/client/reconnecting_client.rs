//! A connection that comes back, and the calls that go over it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use llmspell::{Context, Error, ErrorKind, Result};
use rmcp::model::{CallToolRequestParams, JsonObject, ServerResult};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::answer;
use super::attempt::{Attempt, Waiting};
use super::connection::{CallFailure, Connection};
use super::connector::{CallOptions, Connector, Endpoint};

/// The wait before a connection that follows on one that was of no use; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

pub(crate) struct ReconnectingClient {
    way: Arc<Connector>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// The attempt to connect that is under way, or whose outcome nobody has looked at.
    attempt: Option<Attempt>,
    /// Connections in a row over which nothing was heard.
    failures: u32,
}

/// What there is for a caller.
enum CurrentConnection {
    Connection(Arc<Connection>),
    /// An attempt, and when it begins.
    Attempt(Waiting, Instant),
}

impl State {
    /// Takes in what became of the last attempt.
    fn settle(&mut self) {
        let Some(outcome) = self.attempt.as_ref().and_then(Attempt::outcome) else { return };
        self.attempt = None;
        match outcome {
            Some(Ok(connection)) => self.connection = Some(connection),
            Some(Err(_)) => self.failures = self.failures.saturating_add(1),
            // It never came to an end, which says nothing of the server.
            None => {}
        }
    }

    /// How long the server is left alone.
    fn wait(&self) -> Duration {
        let doublings = self.failures.checked_sub(1);
        doublings.map_or(Duration::ZERO, |doublings| FIRST.saturating_mul(1 << doublings.min(10)).min(LONGEST))
    }
}

impl ReconnectingClient {
    pub(crate) fn new(place: Endpoint, rules: CallOptions) -> Result<Self> {
        Ok(ReconnectingClient { way: Arc::new(Connector::new(place, rules)?), state: Mutex::default() })
    }

    pub(crate) fn place(&self) -> &str {
        &self.way.shown
    }

    pub(crate) fn rules(&self) -> &CallOptions {
        &self.way.rules
    }

    pub(crate) fn changes(&self) -> u64 {
        *self.way.changes.borrow()
    }

    pub(crate) async fn changed_since(&self, seen: u64) {
        // The sender is here.
        let _ = self.way.changes.subscribe().wait_for(|count| *count > seen).await;
    }

    /// Held for a look, and never while anything is waited for.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle();
        state
    }

    pub(crate) fn process_id(&self) -> Option<u32> {
        self.state().connection.as_ref().filter(|connection| connection.is_open())?.process
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

    /// The connection, made anew if it was lost: by one attempt that all callers wait for, each as long as it has time.
    pub(crate) async fn connection(&self, cx: &Context) -> Result<Arc<Connection>> {
        // An attempt is lost with the runtime of the caller that began it.
        for _ in 0..2 {
            let (waiting, begins) = match self.find() {
                CurrentConnection::Connection(connection) => return Ok(connection),
                CurrentConnection::Attempt(waiting, begins) => (waiting, begins),
            };
            let place = self.place();
            let wait = begins.saturating_duration_since(Instant::now());
            if !wait.is_zero() && cx.remaining().is_some_and(|left| left <= wait) {
                let message = format!("the MCP server `{place}` has failed, and is left alone a while");
                return Err(Error::failed(message).with_retry_after(wait));
            }
            let ending = waiting.ending();
            let outcome = match cx.deadline() {
                None => Ok(waiting.outcome().await),
                Some(deadline) => timeout_at(deadline, waiting.outcome()).await,
            };
            match outcome {
                Ok(Some(outcome)) => return outcome,
                Ok(None) if ending.is_cancelled() => {
                    let message = format!("the connection to the MCP server `{place}` was closed before it was there");
                    return Err(Error::new(ErrorKind::Cancelled, message));
                }
                Ok(None) => {}
                Err(_) => {
                    let message = format!("the MCP server `{place}` is not there yet, and the caller has no more time");
                    let error = Error::new(ErrorKind::Timeout, message);
                    return Err(error.with_hint("it is still being connected to: call again, or with more time"));
                }
            }
        }
        Err(Error::failed(format!("the attempt to connect to the MCP server `{}` was lost", self.place())).transient())
    }

    fn find(&self) -> CurrentConnection {
        let mut state = self.state();
        if let Some(connection) = &state.connection {
            if connection.is_open() {
                return CurrentConnection::Connection(connection.clone());
            }
            state.failures = if connection.has_answered() { 0 } else { state.failures.saturating_add(1) };
            state.connection = None;
        }
        let begins = Instant::now() + state.wait();
        let attempt = state.attempt.get_or_insert_with(|| Attempt::begin(self.way.clone(), begins));
        CurrentConnection::Attempt(attempt.waiting(), attempt.begins)
    }

    /// Calls a tool by the name that the server knows it by.
    pub(crate) async fn call(
        &self,
        name: &str,
        arguments: JsonObject,
        idempotent: bool,
        cx: &Context,
    ) -> Result<Value> {
        let deadline = Instant::now() + self.way.rules.call_timeout;
        let cx = cx.with_deadline(deadline);
        let deadline = cx.deadline().unwrap_or(deadline);
        let params = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments);
        let sent = Arc::new(AtomicBool::new(false));
        // A call that has no time is not begun.
        let is_late = deadline <= Instant::now();
        let result = match is_late {
            true => None,
            false => timeout_at(deadline, self.attempts(params, idempotent, &sent, &cx)).await.ok(),
        };
        match result {
            Some(result) => answer::value(result?, name),
            None => Err(timed_out(&self.way.shown, idempotent, sent.load(Ordering::Acquire))),
        }
    }

    /// A call that has not been sent is sent again, once; one that may have been is not.
    async fn attempts(
        &self,
        params: CallToolRequestParams,
        idempotent: bool,
        sent: &Arc<AtomicBool>,
        cx: &Context,
    ) -> Result<ServerResult> {
        let mut is_second = false;
        loop {
            let connection = self.connection(cx).await?;
            match connection.call(params.clone(), sent, cx).await {
                Ok(result) => return Ok(result),
                Err(CallFailure::NotSent) if !is_second => {
                    connection.retire();
                    is_second = true;
                }
                Err(CallFailure::NotSent) => {
                    connection.retire();
                    let message =
                        format!("the MCP server `{}` cannot be reached; the call was not made", self.way.shown);
                    return Err(Error::failed(message).transient());
                }
                Err(CallFailure::Unknown) => {
                    connection.retire();
                    return Err(may_have_happened(&self.way.shown, idempotent));
                }
                Err(CallFailure::Failed(error)) => {
                    if answer::is_of_transport(&error) {
                        connection.retire();
                    }
                    return Err(answer::failure(&error, &self.way.shown, idempotent));
                }
            }
        }
    }
}

/// The other side is gone, and nobody knows how far it got.
pub(crate) fn may_have_happened(place: &str, idempotent: bool) -> Error {
    let error = Error::failed(format!(
        "the connection to the MCP server `{place}` was lost during the call, which may have happened"
    ));
    if idempotent { error.transient() } else { error.permanent().with_hint(CHECK_HINT) }
}

fn timed_out(place: &str, idempotent: bool, sent: bool) -> Error {
    let what = if sent { "cancelled, and may have happened" } else { "not made" };
    let error =
        Error::new(ErrorKind::Timeout, format!("the MCP server `{place}` did not answer in time; the call was {what}"));
    if idempotent || !sent { error } else { error.permanent().with_hint(CHECK_HINT) }
}

const CHECK_HINT: &str =
    "find out whether it has happened before calling again; a tool that is idempotent can be called again";
