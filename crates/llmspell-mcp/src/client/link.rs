//! A connection that comes back, and the calls that go over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use llmspell::{Context, Error, Kind, Result};
use reqwest::Url;
use rmcp::model::{CallToolRequestParams, JsonObject, ServerResult};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::Value;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::answer;
use super::child::Program;
use super::connection::{Connection, Patience, Unanswered};

/// The wait before a connection that follows on one that was of no use; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How a stream of answers that broke off is taken up again: a few times, where rmcp would go on for ever. A server
/// that says when (`retry`) is waited for that long each time.
fn resuming() -> ExponentialBackoff {
    let mut backoff = ExponentialBackoff::default();
    backoff.max_times = Some(5);
    backoff.base_duration = Duration::from_millis(200);
    backoff.max_delay = Some(Duration::from_secs(2));
    backoff
}

/// Where a server is.
#[derive(Clone)]
pub(crate) enum Place {
    Stdio(Program),
    Http { url: String, token: Option<String> },
}

impl Place {
    /// Where the server is, without what may be secret in an address.
    pub(crate) fn shown(&self) -> String {
        match self {
            Place::Stdio(program) => program.name(),
            Place::Http { url, .. } => match Url::parse(url) {
                Ok(url) => {
                    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
                }
                Err(_) => "an address that cannot be read".to_owned(),
            },
        }
    }
}

/// What holds for all calls of a client.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) call_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) runaway_grace: Duration,
    pub(crate) prefix: String,
    pub(crate) ignore_hints: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            call_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(30),
            runaway_grace: Duration::from_secs(1),
            prefix: String::new(),
            ignore_hints: false,
        }
    }
}

pub(crate) struct Link {
    place: Place,
    shown: String,
    pub(crate) rules: Rules,
    http: Option<reqwest::Client>,
    state: Mutex<State>,
    /// How many attempts to connect have ended.
    attempts: AtomicU64,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// Connections in a row over which nothing was heard.
    strikes: u32,
    /// How the last attempt to connect failed.
    failure: Option<Error>,
}

impl Link {
    pub(crate) fn new(place: Place, rules: Rules) -> Result<Self> {
        let shown = place.shown();
        let http = match &place {
            Place::Stdio(_) => None,
            Place::Http { url, .. } => {
                let is_http = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
                if !is_http {
                    let message = "the address of an MCP server begins with `http://` or `https://`";
                    return Err(Error::invalid(message));
                }
                // Whoever embeds this crate may have chosen a provider already: that one is fine.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder()
                    .user_agent(concat!("llmspell/", env!("CARGO_PKG_VERSION")))
                    .connect_timeout(rules.connect_timeout)
                    // The token would go wherever a redirect leads to.
                    .redirect(reqwest::redirect::Policy::none())
                    .no_proxy()
                    // As rmcp has it: a kept connection whose last answer was not read to its end stalls for 40 ms.
                    .pool_max_idle_per_host(0)
                    .build()?;
                Some(client)
            }
        };
        let (changes, _) = watch::channel(0);
        Ok(Link { place, shown, rules, http, state: Mutex::default(), attempts: AtomicU64::new(0), changes })
    }

    pub(crate) fn place(&self) -> &str {
        &self.shown
    }

    pub(crate) fn changes(&self) -> u64 {
        *self.changes.borrow()
    }

    pub(crate) async fn changed_since(&self, seen: u64) {
        // The sender is here.
        let _ = self.changes.subscribe().wait_for(|count| *count > seen).await;
    }

    pub(crate) async fn process_id(&self) -> Option<u32> {
        self.state.lock().await.connection.as_ref().filter(|connection| connection.is_open())?.process
    }

    pub(crate) async fn close(&self) {
        let connection = self.state.lock().await.connection.take();
        if let Some(connection) = connection {
            connection.close().await;
        }
    }

    /// The connection, made anew if it was lost: by one caller, while the others wait for what comes of it.
    pub(crate) async fn connection(&self, cx: &Context) -> Result<Arc<Connection>> {
        let seen = self.attempts.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            if connection.is_open() {
                return Ok(connection.clone());
            }
            state.strikes = if connection.has_answered() { 0 } else { state.strikes + 1 };
            state.connection = None;
        }
        if self.attempts.load(Ordering::Acquire) > seen
            && let Some(failure) = &state.failure
        {
            return Err(failure.clone());
        }
        if let Some(doublings) = state.strikes.checked_sub(1) {
            let wait = FIRST.saturating_mul(1 << doublings.min(10)).min(LONGEST);
            if cx.remaining().is_some_and(|left| left <= wait) {
                return Err(Error::failed(format!(
                    "the MCP server `{}` has failed, and is left alone a while",
                    self.shown
                ))
                .with_retry_after(wait));
            }
            sleep(wait).await;
        }
        let longest = Instant::now() + self.rules.connect_timeout;
        let deadline = cx.deadline().map_or(longest, |known| known.min(longest));
        let late = || {
            let message = format!("the MCP server `{}` did not answer the handshake in time", self.shown);
            Error::new(Kind::Timeout, message)
        };
        let result = match timeout_at(deadline, Box::pin(self.open())).await {
            Ok(result) => result,
            // One caller was in a hurry. That says nothing of the server, and nothing to those who have more time.
            Err(_) if deadline < longest => return Err(late()),
            Err(_) => Err(late()),
        };
        self.attempts.fetch_add(1, Ordering::AcqRel);
        match result {
            Ok(connection) => {
                let connection = Arc::new(connection);
                state.connection = Some(connection.clone());
                state.failure = None;
                Ok(connection)
            }
            Err(error) => {
                state.strikes = state.strikes.saturating_add(1);
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn open(&self) -> Result<Connection> {
        let patience = Patience { grace: self.rules.runaway_grace, heedless: self.rules.call_timeout };
        let opened = match &self.place {
            Place::Stdio(program) => {
                let (process, output, input) = program.start()?;
                let transport = AsyncRwTransport::new_client(output, input);
                Connection::open(transport, Some(process), self.changes.clone(), patience).await
            }
            Place::Http { url, token } => {
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                    // How many calls run at once is up to limits that can be seen.
                    .max_concurrent_requests(1024);
                config.retry_config = Arc::new(resuming());
                if let Some(token) = token {
                    config = config.auth_header(token.as_str());
                }
                let client = self.http.clone().unwrap_or_default();
                let transport = StreamableHttpClientTransport::with_client(client, config);
                Connection::open(transport, None, self.changes.clone(), patience).await
            }
        };
        opened.map_err(|(error, said)| answer::handshake(&error, said.filter(|said| !said.is_empty()), &self.shown))
    }

    /// Calls a tool by the name that the server knows it by.
    pub(crate) async fn call(
        &self,
        name: &str,
        arguments: JsonObject,
        idempotent: bool,
        cx: &Context,
    ) -> Result<Value> {
        let deadline = Instant::now() + self.rules.call_timeout;
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
            None => Err(timed_out(&self.shown, idempotent, sent.load(Ordering::Acquire))),
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
                Err(Unanswered::NotSent) if !is_second => {
                    connection.retire();
                    is_second = true;
                }
                Err(Unanswered::NotSent) => {
                    connection.retire();
                    let message = format!("the MCP server `{}` cannot be reached; the call was not made", self.shown);
                    return Err(Error::failed(message).transient());
                }
                Err(Unanswered::Unknown) => {
                    connection.retire();
                    return Err(may_have_happened(&self.shown, idempotent));
                }
                Err(Unanswered::Failed(error)) => {
                    if answer::is_of_transport(&error) {
                        connection.retire();
                    }
                    return Err(answer::failure(&error, &self.shown, idempotent));
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
    if idempotent { error.transient() } else { error.permanent().with_hint(CHECK) }
}

fn timed_out(place: &str, idempotent: bool, sent: bool) -> Error {
    let what = if sent { "cancelled, and may have happened" } else { "not made" };
    let error =
        Error::new(Kind::Timeout, format!("the MCP server `{place}` did not answer in time; the call was {what}"));
    if idempotent || !sent { error } else { error.permanent().with_hint(CHECK) }
}

const CHECK: &str =
    "find out whether it has happened before calling again; a tool that is idempotent can be called again";
