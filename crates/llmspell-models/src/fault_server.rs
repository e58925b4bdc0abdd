//! A local server that answers as told: well, late, in pieces, wrongly, or not to the end.
//!
//! It is for tests of whatever talks to models: of this crate, of agents, of gateways. It listens on 127.0.0.1, says
//! what it was sent, and notices when a client goes away.
//!
//! ```
//! use llmspell::model::{Model, Request};
//! use llmspell::{Context, Retry, Step};
//! use llmspell_models::fault_server::{Answer, FaultServer};
//! use llmspell_models::{Models, Wire};
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

/// The server. Dropping it ends it, and every connection with it.
#[derive(Debug)]
pub struct FaultServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// One task, which owns those of the connections.
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
    requests: Vec<Received>,
}

/// A request that the server got, and what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// Such as `POST`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// With their names in lower case.
    pub headers: Vec<(String, String)>,
    /// `null` if it is no JSON.
    pub body: Value,
    /// How many bytes of the answer's body the system has taken.
    pub written: u64,
    /// How it ended; `None` as long as the answer is on its way.
    pub end: Option<End>,
}

impl Received {
    /// The header with this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The server has said everything.
    Complete,
    /// The server has cut the connection, as told.
    Cut,
    /// The client has gone away before the end.
    Gone,
}

impl FaultServer {
    /// Begins to listen, on a port of its own.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Ok(FaultServer { address, shared, _tasks: tasks })
    }

    /// The address of the server, with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How the next request that has no answer yet is answered. One beyond all answers gets status 599.
    pub fn answer(&self, answer: Answer) {
        self.state().script.push_back(answer);
    }

    /// How every request beyond the script is answered.
    pub fn otherwise(&self, answer: Answer) {
        self.state().otherwise = Some(answer);
    }

    /// The requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Received> {
        self.state().requests.clone()
    }

    /// Waits until the exchange with this index has ended, and says how.
    ///
    /// # Errors
    /// If it has not within `most`.
    pub async fn ended(&self, index: usize, most: Duration) -> Result<End, tokio::time::error::Elapsed> {
        let ended = async {
            loop {
                let changed = self.shared.changed.notified();
                if let Some(end) = self.state().requests.get(index).and_then(|request| request.end) {
                    return end;
                }
                changed.await;
            }
        };
        tokio::time::timeout(most, ended).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request, and says how to answer it.
    fn begin(&self, request: Received) -> (usize, Answer) {
        let mut state = self.state();
        let index = state.requests.len();
        state.requests.push(request);
        let answer = state.script.pop_front().or_else(|| state.otherwise.clone());
        drop(state);
        self.changed.notify_waiters();
        (index, answer.unwrap_or_else(|| Answer::status(599).body("the script of this server has come to its end")))
    }

    fn note(&self, index: usize, change: impl FnOnce(&mut Received)) {
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
                // Too many open files: that passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
