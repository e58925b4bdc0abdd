//! A local HTTP server with scripted replies: correct, late, in pieces, invalid, or incomplete.
//!
//! It is for tests of code that calls models over HTTP: adapters, agents, gateways. It listens on 127.0.0.1, keeps the
//! requests it received, and reports when a client disconnects.
//!
//! ```
//! use llmspell::model::{Model, Request};
//! use llmspell::{Context, Retry, Step};
//! use llmspell_models::{Models, Wire};
//! use llmspell_test::fault_server::{Answer, FaultServer};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let server = FaultServer::start().await?;
//! server.answer(Answer::status(503).header("retry-after-ms", "20"));
//! server.answer(Answer::says(Wire::OpenAi, "Paris."));
//!
//! let model = Models::new().endpoint("local", Wire::OpenAi, server.url("/v1")).get("local/tiny")?;
//! let ask = model.step().retry(Retry::exponential());
//! let reply = ask.run(Request::new("The capital of France?"), &Context::new()).await?;
//! assert_eq!(reply.text, "Paris.");
//! assert_eq!(server.requests().len(), 2);
//! # Ok::<(), llmspell::Error>(()) }).unwrap();
//! ```

mod answer;
mod connection;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub use answer::Answer;

/// An HTTP server with scripted replies. Dropping it closes it and all its connections.
#[derive(Debug)]
pub struct FaultServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The accept task, which owns the tasks of the connections.
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Answer>,
    otherwise: Option<Answer>,
    requests: Vec<ReceivedRequest>,
}

/// A request that the server received, and the state of its exchange.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// The method, such as `POST`.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; `null` if it is not JSON.
    pub body: Value,
    /// The number of bytes of the answer's body that the system has accepted.
    pub written: u64,
    /// The end of the exchange; `None` while the answer is being sent.
    pub end: Option<End>,
}

impl ReceivedRequest {
    /// Returns the value of a header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The end of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The server has sent the whole answer.
    Complete,
    /// The server has closed the connection within the answer, as scripted.
    Cut,
    /// The client has disconnected before the end.
    Gone,
}

impl FaultServer {
    /// Starts a server on a free port.
    ///
    /// # Errors
    /// If the system cannot open a socket.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Ok(FaultServer { address, shared, _tasks: tasks })
    }

    /// Returns the URL of a path on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Adds an answer to the script: each request takes the next one. A request beyond the script gets status 599.
    pub fn answer(&self, answer: Answer) {
        self.state().script.push_back(answer);
    }

    /// Sets the answer to every request beyond the script.
    pub fn otherwise(&self, answer: Answer) {
        self.state().otherwise = Some(answer);
    }

    /// Returns the requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.state().requests.clone()
    }

    /// Waits until the exchange with this index has ended.
    ///
    /// # Errors
    /// If it has not ended within `limit`.
    pub async fn ended(&self, index: usize, limit: Duration) -> Result<End, tokio::time::error::Elapsed> {
        let ended = async {
            loop {
                let changed = self.shared.changed.notified();
                if let Some(end) = self.state().requests.get(index).and_then(|request| request.end) {
                    return end;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, ended).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request, and returns its index and its answer.
    fn begin(&self, request: ReceivedRequest) -> (usize, Answer) {
        let mut state = self.state();
        let index = state.requests.len();
        state.requests.push(request);
        let answer = state.script.pop_front().or_else(|| state.otherwise.clone());
        drop(state);
        self.changed.notify_waiters();
        (index, answer.unwrap_or_else(|| Answer::status(599).body("this request is beyond the script of the server")))
    }

    fn update(&self, index: usize, change: impl FnOnce(&mut ReceivedRequest)) {
        change(&mut self.state().requests[index]);
        self.changed.notify_waiters();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection::serve(stream, shared.clone()))),
                // Too many open files: a temporary condition.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
