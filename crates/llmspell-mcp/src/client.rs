//! The client: the tools of an MCP server as [tools](llmspell::Tool).
//!
//! It owns the public types and their settings; the modules below connect, call and list.

mod answer;
mod attempt;
mod builder;
mod child;
mod client_info;
mod connection;
mod connector;
mod endpoint;
mod limited_lines;
mod limited_transport;
mod line_ends;
mod listing;
mod names;
mod observed_transport;
mod pending_calls;
mod reconnecting_client;
mod sent_requests;

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use llmspell::registry::{Extension, Registry};
use llmspell::tool::DynTool;
use llmspell::{Context, Result};

pub use builder::ClientBuilder;
use reconnecting_client::ReconnectingClient;

/// A client of an MCP server that reconnects when the connection is lost.
///
/// Its clones and its tools share the connection. When the last of them is dropped, the connection ends, and with it
/// the process of a server that was started for it.
///
/// ```no_run
/// use std::time::Duration;
/// use llmspell::{Context, Step};
/// use llmspell_mcp::Client;
///
/// # async fn example() -> llmspell::Result<()> {
/// let cx = Context::new();
/// let files = Client::stdio("mcp-server-filesystem")
///     .arg("/srv/notes")
///     .call_timeout(Duration::from_secs(10))
///     .prefix("files_")
///     .connect(&cx)
///     .await?;
/// for tool in files.tools(&cx).await? {
///     println!("{}: {}", tool.spec().name, tool.spec().description);
/// }
/// files.close().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<ReconnectingClient>,
    /// The number of changes that the server had announced when its tools were last listed.
    listed: Arc<AtomicU64>,
}

impl Client {
    fn new(inner: Arc<ReconnectingClient>) -> Self {
        Client { inner, listed: Arc::default() }
    }

    /// Returns the settings for a server that is started as a child process and speaks over its standard streams.
    ///
    /// The server gets a clean environment: the variables set with [`env`](ClientBuilder::env), and a few that programs
    /// usually require (`PATH`, `HOME`, `USER`, `LANG` and similar). It leads its own process group, which ends with
    /// it.
    pub fn stdio(program: impl Into<OsString>) -> ClientBuilder {
        ClientBuilder::stdio(program.into())
    }

    /// Returns the settings for a running server that speaks streamable HTTP, such as `http://127.0.0.1:8000/mcp`.
    /// The client follows no redirects and uses no proxies from the environment.
    pub fn http(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::http(url.into())
    }

    /// Lists all tools of the server, as tools from JSON to JSON.
    ///
    /// A tool returns the structured content of the server's answer if there is any, else its text. If the answer has
    /// other content (images, resources), the tool returns it as MCP describes it.
    ///
    /// The server's hints set the properties of a tool (see [`ClientBuilder::ignore_hints`] for untrusted servers):
    ///
    /// - A read-only tool has [`Privilege::Restricted`](llmspell::tool::Privilege::Restricted); all others are
    ///   privileged.
    /// - A read-only or idempotent tool is [idempotent](llmspell::Step::idempotent).
    /// - A destructive tool runs [alone](llmspell::tool::CallConcurrency::Exclusive) in a turn of an agent.
    ///
    /// The names are changed so that models can call them. Each character other than an ASCII letter, digit, `_` or `-`
    /// becomes `_`, and names are cut to 64 characters. If names become equal, the later ones get a number:
    /// `files.read` becomes `files_read`, or `files_read_2` beside a tool of that name. Calls to the server use the
    /// original name.
    ///
    /// Tools stay usable when the connection is lost and restored. A tool that runs only as an MCP task is listed, but
    /// the server rejects calls of it.
    ///
    /// # Errors
    /// The errors of [connecting](ClientBuilder::connect), and [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if
    /// the list has too many pages.
    pub async fn tools(&self, cx: &Context) -> Result<Vec<DynTool>> {
        let changes = self.inner.changes();
        let tools = listing::list(&self.inner, cx).await?;
        self.listed.store(changes, Ordering::Release);
        Ok(tools)
    }

    /// Returns the tools of the server as an [`Extension`] for a [`Registry`]: an extension in its own process.
    ///
    /// ```no_run
    /// use llmspell::Context;
    /// use llmspell::registry::Registry;
    /// use llmspell_mcp::Client;
    ///
    /// # async fn example(cx: &Context) -> llmspell::Result<()> {
    /// let files = Client::stdio("mcp-server-filesystem").arg("/srv/notes").prefix("files_").connect(cx).await?;
    /// let registry = Registry::new().with(files.extension(cx).await?)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The errors of [`Client::tools`].
    pub async fn extension(&self, cx: &Context) -> Result<ServerTools> {
        Ok(ServerTools { name: self.inner.server().to_owned(), tools: self.tools(cx).await? })
    }

    /// Waits until the server announces that its tools have changed since they were last [listed](Client::tools).
    pub async fn changed(&self) {
        let listed = self.listed.load(Ordering::Acquire);
        self.inner.changed_since(listed).await;
    }

    /// Closes the connection and waits until it has ended. A child process has its [grace](ClientBuilder::grace) to
    /// exit. Calls that wait for a connection fail with [`ErrorKind::Cancelled`](llmspell::ErrorKind::Cancelled). A
    /// later call reconnects.
    pub async fn close(&self) {
        self.inner.close().await;
    }

    /// Returns the process id of the server if this client started it and it is running.
    pub async fn process_id(&self) -> Option<u32> {
        self.inner.process_id()
    }
}

/// The tools of a server as an extension, returned by [`Client::extension`].
#[derive(Clone, Debug)]
pub struct ServerTools {
    name: String,
    tools: Vec<DynTool>,
}

impl Extension for ServerTools {
    fn name(&self) -> &str {
        &self.name
    }

    fn register(&self, registry: &mut Registry) -> Result<()> {
        self.tools.iter().try_for_each(|tool| registry.tool(tool.clone()))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.inner.server()).finish_non_exhaustive()
    }
}
