//! The server: our tools for whoever speaks MCP.

mod admission;
mod backpressured_transport;
mod handler;
mod http;
mod timeout_body;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use llmspell::tool::{Arguments, DynTool};
use llmspell::{Context, Error, Result, Step, Tool};
use rmcp::service::{RoleServer, ServerInitializeError, serve_server_with_ct};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::stdio_pipes;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use admission::Admission;
use backpressured_transport::BackpressuredTransport;
use handler::{Handler, Shared};
pub use http::{BoundServer, Http};

/// Tools, and anything else that is made into one, as an MCP server.
///
/// What holds for all of its connections together: so many calls run at once, so many more wait, and whoever comes on
/// top is told at once that there is too much to do (JSON-RPC error -32029, with `retryAfterMs`). A tool that fails
/// or panics answers with an error that a model can read. A call that its client cancels is dropped, which stops its
/// work. What a tool [emits](Context::emit) goes out as progress if the client asked for it.
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
///     .tool(DynTool::from_schema("shout", "Says it louder.", parameters, shout))
///     .limit(8)
///     .queue(16);
/// let listening = server.http("127.0.0.1:8000").bind().await?;
/// listening.serve(std::future::pending()).await
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nobody is served until `stdio` or `http` is awaited"]
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
    /// A server without tools, as clients are told of it.
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

    /// Offers a tool.
    ///
    /// # Panics
    /// If there is one of that name already.
    pub fn tool<S: Step<In: Arguments, Out: Serialize>>(self, tool: Tool<S>) -> Self {
        self.tools([tool.erase()])
    }

    /// Offers several.
    ///
    /// # Panics
    /// As [`Server::tool`].
    pub fn tools(mut self, tools: impl IntoIterator<Item = DynTool>) -> Self {
        for tool in tools {
            let name = tool.spec().name.clone();
            assert!(!self.tools.contains_key(&name), "there are two tools `{name}`: clients could not tell them apart");
            self.tools.insert(name, tool);
        }
        self
    }

    /// What clients may tell their models about this server.
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = Some(text.into());
        self
    }

    /// How many calls run at once, over all connections. The default is 16.
    ///
    /// # Panics
    /// If it is 0, for nothing would ever run.
    pub fn limit(mut self, calls: usize) -> Self {
        assert!(calls > 0, "a limit must be at least 1: with 0, nothing would ever run");
        self.limit = calls;
        self
    }

    /// How many calls wait for their turn, over all connections. The default is 64.
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls;
        self
    }

    /// The longest that a call may take, its waiting included. The default is five minutes.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// How long calls under way may take to end when the server is shut down, or its input ends. What is not done by
    /// then is dropped, and answered with an error. The default is 10 s.
    pub fn drain(mut self, longest: Duration) -> Self {
        self.drain = longest;
        self
    }

    /// The context that the tools run in: its events tell what they do. The default is one that nobody observes.
    pub fn context(mut self, cx: &Context) -> Self {
        self.cx = cx.clone();
        self
    }

    fn shared(self) -> Shared {
        Shared {
            name: self.name,
            version: self.version,
            instructions: self.instructions,
            tools: self.tools,
            admission: Admission::new(self.limit, self.queue),
            call_timeout: self.call_timeout,
            cx: self.cx,
        }
    }

    /// Serves over the standard streams until the client closes them or `shutdown` completes. Calls that are under
    /// way then have the [time to drain](Server::drain), and are answered. Nothing else may write to the standard output of the
    /// process.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if the client does not speak MCP.
    pub async fn stdio(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let (input, output) = stdio_pipes();
        self.over(input, output, shutdown).await
    }

    /// Serves over streamable HTTP, at the path `/mcp` of `address`, such as `127.0.0.1:8000`; the port 0 takes any
    /// that is free. To be reached from other machines it takes an address such as `0.0.0.0:8000`, a
    /// [token](Http::token) and the [name](Http::allow_host) that clients use. There is no TLS here: put a proxy in
    /// front that has it.
    pub fn http(self, address: impl Into<String>) -> Http {
        Http::new(self, address.into())
    }

    /// Serves one client over any two streams, as [`Server::stdio`] does.
    ///
    /// # Errors
    /// As [`Server::stdio`].
    pub async fn over(
        self,
        input: impl AsyncRead + Send + Unpin + 'static,
        output: impl AsyncWrite + Send + Unpin + 'static,
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        let drain = self.drain;
        let shared = Arc::new(self.shared());
        let transport = AsyncRwTransport::<RoleServer, _, _>::new_server(input, output);
        let transport = BackpressuredTransport::new(transport, shared.clone(), drain);
        let end = CancellationToken::new();
        let mut shutdown = std::pin::pin!(shutdown);
        let begin = serve_server_with_ct(Handler(shared.clone()), transport, end.clone());
        let running = tokio::select! {
            begun = begin => match begun {
                Ok(running) => running,
                // A client that was started and stopped without a word.
                Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
                Err(error) => return Err(Error::failed(format!("the client does not speak MCP: {error}"))),
            },
            () = &mut shutdown => return Ok(()),
        };
        let is_over = running.cancellation_token();
        let mut over = std::pin::pin!(running.waiting());
        tokio::select! {
            _ = &mut over => return Ok(()),
            () = &mut shutdown => {}
        }
        tokio::select! {
            _ = &mut over => return Ok(()),
            () = shared.admission.drain(drain) => {}
        }
        is_over.cancel();
        let _ = over.await;
        Ok(())
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("name", &self.name).field("tools", &self.tools.keys()).finish_non_exhaustive()
    }
}
