//! The server: our tools for MCP clients.
//!
//! It owns the settings and the shutdown. Admission, the handler and the transports are in the modules below.

mod admission;
mod backpressured_transport;
mod call_result;
mod handler;
mod http;
mod request_guard;
mod session;
mod timeout_body;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use llmspell::tool::DynTool;
use llmspell::{Context, Error, Result, Step, Tool};
use rmcp::service::{RoleServer, ServerInitializeError, serve_server_with_ct};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::stdio_pipes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use admission::Admission;
use backpressured_transport::BackpressuredTransport;
use handler::{Handler, ServerState};
pub use http::{BoundServer, Http};

/// An MCP server for tools, and for steps and agents that were made into tools.
///
/// Its limits apply to all connections together. At most [`limit`](Server::limit) calls run at a time, at most
/// [`queue`](Server::queue) wait, and further ones are rejected at once (JSON-RPC error -32029 with `retryAfterMs`). A
/// tool that fails or panics answers with an error that a model can read. When a client cancels a call, the server
/// drops it and its work. Chunks that a tool [emits](Context::emit) are sent as progress if the client asked for it.
///
/// ```no_run
/// use llmspell::tool::DynTool;
/// use llmspell::step;
/// use llmspell_mcp::Server;
/// use serde_json::{Value, json};
///
/// # async fn example() -> llmspell::Result<()> {
/// let parameters = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
/// let shout = step(|arguments: Value, _| async move {
///     Ok(json!(arguments["text"].as_str().unwrap_or_default().to_uppercase()))
/// });
/// let server = Server::new("shouts", "1.0")
///     .tool(DynTool::from_schema("shout", "Returns the text in capitals.", parameters, shout))
///     .limit(8)
///     .queue(16);
/// let bound = server.http("127.0.0.1:8000").bind().await?;
/// bound.serve(std::future::pending()).await
/// # }
/// ```
#[derive(Clone)]
#[must_use = "the server accepts no client until `stdio` or `http` is awaited"]
pub struct Server {
    name: String,
    version: String,
    instructions: Option<String>,
    tools: BTreeMap<String, DynTool>,
    limit: usize,
    queue: usize,
    call_timeout: Duration,
    drain: Duration,
    cx: Context,
}

impl Server {
    /// Returns a server without tools. Clients see its name and version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Server {
            name: name.into(),
            version: version.into(),
            instructions: None,
            tools: BTreeMap::new(),
            limit: 16,
            queue: 64,
            call_timeout: Duration::from_secs(300),
            drain: Duration::from_secs(10),
            cx: Context::new(),
        }
    }

    /// Adds a tool.
    ///
    /// # Panics
    /// If a tool of that name was added already.
    pub fn tool<S: Step<In: DeserializeOwned, Out: Serialize>>(self, tool: Tool<S>) -> Self {
        self.tools([tool.erase()])
    }

    /// Adds several tools.
    ///
    /// # Panics
    /// If a tool of the same name was added already.
    pub fn tools(mut self, tools: impl IntoIterator<Item = DynTool>) -> Self {
        for tool in tools {
            let name = tool.spec().name.clone();
            assert!(!self.tools.contains_key(&name), "duplicate tool `{name}`: clients could not distinguish the two");
            self.tools.insert(name, tool);
        }
        self
    }

    /// Sets the description of this server that clients may give to their models.
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = Some(text.into());
        self
    }

    /// Sets the most calls that run at a time, over all connections. The default is 16.
    ///
    /// # Panics
    /// If `calls` is 0, because then nothing would ever run.
    pub fn limit(mut self, calls: usize) -> Self {
        assert!(calls > 0, "a limit must be at least 1: with 0, nothing would ever run");
        self.limit = calls;
        self
    }

    /// Sets the most calls that wait to run, over all connections. The default is 64.
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls;
        self
    }

    /// Sets the time limit of a call, including its wait. The default is five minutes.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets how long calls in flight may take to finish when the server is shut down or its input ends. Calls that have
    /// not finished by then are dropped and answered with an error. The default is 10 s.
    pub fn drain(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// Sets the context in which the tools run; its observers receive their events. The default has no observers.
    pub fn context(mut self, cx: &Context) -> Self {
        self.cx = cx.clone();
        self
    }

    fn into_state(self) -> ServerState {
        ServerState {
            name: self.name,
            version: self.version,
            instructions: self.instructions,
            tools: self.tools,
            admission: Admission::new(self.limit, self.queue),
            call_timeout: self.call_timeout,
            cx: self.cx,
        }
    }

    /// Serves over the standard streams until the client closes them or `shutdown` completes. Calls in flight then have
    /// the [time to drain](Server::drain), and are answered. Nothing else may write to the standard output of the
    /// process.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if the client does not speak MCP.
    pub async fn stdio(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let (input, output) = stdio_pipes();
        self.serve_streams(input, output, shutdown).await
    }

    /// Returns the settings for streamable HTTP, at the path `/mcp` of `address`, such as `127.0.0.1:8000`. The port 0
    /// chooses a free one.
    ///
    /// To serve other machines, pass an address such as `0.0.0.0:8000`, and set a [token](Http::token) and the
    /// [host name](Http::allow_host) that clients use. The server has no TLS: put a TLS proxy in front.
    pub fn http(self, address: impl Into<String>) -> Http {
        Http::new(self, address.into())
    }

    /// Serves one client over any two streams, like [`Server::stdio`].
    ///
    /// # Errors
    /// [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if the client does not speak MCP.
    pub async fn serve_streams(
        self,
        input: impl AsyncRead + Send + Unpin + 'static,
        output: impl AsyncWrite + Send + Unpin + 'static,
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        let drain = self.drain;
        let state = Arc::new(self.into_state());
        let transport = AsyncRwTransport::<RoleServer, _, _>::new_server(input, output);
        let transport = BackpressuredTransport::new(transport, state.clone(), drain);
        let end = CancellationToken::new();
        let mut shutdown = std::pin::pin!(shutdown);
        let handshake = serve_server_with_ct(Handler(state.clone()), transport, end.clone());
        let running = tokio::select! {
            result = handshake => match result {
                Ok(running) => running,
                // A client that connects and leaves without a message is not an error.
                Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
                Err(error) => return Err(Error::failed(format!("the client does not speak MCP: {error}"))),
            },
            () = &mut shutdown => return Ok(()),
        };
        let cancel = running.cancellation_token();
        let mut session = std::pin::pin!(running.waiting());
        tokio::select! {
            _ = &mut session => return Ok(()),
            () = &mut shutdown => {}
        }
        tokio::select! {
            _ = &mut session => return Ok(()),
            () = state.admission.drain(drain) => {}
        }
        cancel.cancel();
        let _ = session.await;
        Ok(())
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("name", &self.name).field("tools", &self.tools.keys()).finish_non_exhaustive()
    }
}
