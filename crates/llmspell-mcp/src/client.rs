//! The client: the tools of an MCP server as [tools](llmspell::Tool).
//!
//! It owns the public types and their settings; the modules below connect, call and list.

mod answer;
mod attempt;
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

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use llmspell::tool::DynTool;
use llmspell::{Context, Extension, Registry, Result};

use child::Program;
use endpoint::{CallOptions, Endpoint};
use reconnecting_client::ReconnectingClient;

/// The settings of a [`Client`], built by [`Client::stdio`] and [`Client::http`].
#[derive(Clone)]
#[must_use = "nothing is connected until `connect` is awaited"]
pub struct ClientBuilder {
    endpoint: Endpoint,
    options: CallOptions,
}

/// A client of an MCP server that reconnects when the connection is lost.
///
/// Its clones and its tools share the connection. When the last of them is dropped, the connection ends, and with it the
/// process of a server that was started for it.
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
    /// Returns the settings for a server that is started as a child process and speaks over its standard streams.
    ///
    /// The server gets a clean environment: the variables set with [`env`](ClientBuilder::env), and a few that programs
    /// usually require (`PATH`, `HOME`, `USER`, `LANG` and similar). It leads its own process group, which ends with it.
    pub fn stdio(program: impl Into<OsString>) -> ClientBuilder {
        ClientBuilder {
            endpoint: Endpoint::Stdio(Program {
                program: program.into(),
                arguments: Vec::new(),
                environment: BTreeMap::new(),
                inherited: Vec::new(),
                folder: None,
                grace: Duration::from_secs(2),
            }),
            options: CallOptions::default(),
        }
    }

    /// Returns the settings for a running server that speaks streamable HTTP, such as `http://127.0.0.1:8000/mcp`.
    /// The client follows no redirects and uses no proxies from the environment.
    pub fn http(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder { endpoint: Endpoint::Http { url: url.into(), token: None }, options: CallOptions::default() }
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
    /// The errors of [connecting](ClientBuilder::connect), and [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if the
    /// list has too many pages.
    pub async fn tools(&self, cx: &Context) -> Result<Vec<DynTool>> {
        let changes = self.inner.changes();
        let tools = listing::list(&self.inner, cx).await?;
        self.listed.store(changes, Ordering::Release);
        Ok(tools)
    }

    /// Returns the tools of the server as an [`Extension`] for a [`Registry`]: an extension in its own process.
    ///
    /// ```no_run
    /// use llmspell::{Context, Registry};
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

/// Shows the server's name, without the secrets that it is given.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("server", &self.endpoint.display_name()).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    fn program(mut self, change: impl FnOnce(&mut Program)) -> Self {
        match &mut self.endpoint {
            Endpoint::Stdio(program) => change(program),
            Endpoint::Http { .. } => panic!("an HTTP server is not started by the client: use `Client::stdio`"),
        }
        self
    }

    /// Adds an argument of the server's program.
    ///
    /// # Panics
    /// If the server is reached over HTTP. All settings of the program panic then.
    pub fn arg(self, argument: impl Into<OsString>) -> Self {
        self.program(|program| program.arguments.push(argument.into()))
    }

    /// Adds arguments of the server's program.
    pub fn args(self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.program(|program| program.arguments.extend(arguments.into_iter().map(Into::into)))
    }

    /// Sets a variable of the server's environment. Its value is redacted in errors and events.
    pub fn env(self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.program(|program| drop(program.environment.insert(name.into(), value.into())))
    }

    /// Adds a variable that the server inherits, besides the usual few.
    pub fn inherit(self, name: impl Into<OsString>) -> Self {
        self.program(|program| program.inherited.push(name.into()))
    }

    /// Sets the working directory of the server. The default is that of this process.
    pub fn folder(self, folder: impl Into<PathBuf>) -> Self {
        self.program(|program| program.folder = Some(folder.into()))
    }

    /// Sets how long the server may take to exit after its input has ended, and again after SIGTERM, before it is killed.
    /// The default is 2 s.
    pub fn grace(self, grace: Duration) -> Self {
        self.program(|program| program.grace = grace)
    }

    /// Sets the bearer token for the server. It appears in no error and no event.
    ///
    /// # Panics
    /// If the server is not reached over HTTP.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        match &mut self.endpoint {
            Endpoint::Http { token: slot, .. } => *slot = Some(token.into()),
            Endpoint::Stdio(_) => {
                panic!("a child process takes no token: use `Client::http`, or pass a secret with `env`")
            }
        }
        self
    }

    /// Sets the time limit of a call, including reconnection. The default is 60 s. The deadline of the context applies if
    /// it is earlier.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.options.call_timeout = timeout;
        self
    }

    /// Sets the time limit for connecting, including the start of a program. The default is 30 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// Sets how long a call that was dropped or timed out counts as a [runaway](llmspell::Context::detached_work) if the
    /// server sends nothing more about it. The default is 1 s.
    ///
    /// MCP has no answer to a cancellation: a server that stops the work is as silent as one that continues it. The call
    /// keeps its permits until a late answer arrives or this time has passed. A server that has answered a cancelled call
    /// is known to ignore cancellations. From then on its calls keep their permits until they are answered, for at most
    /// the [call timeout](ClientBuilder::call_timeout).
    pub fn runaway_grace(mut self, grace: Duration) -> Self {
        self.options.runaway_grace = grace;
        self
    }

    /// Sets a prefix for the names of the tools, to distinguish those of several servers. The prefix is made
    /// [callable](Client::tools) like the rest of the name.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// Ignores the server's hints about its tools: all are privileged, and none is idempotent.
    pub fn ignore_hints(mut self) -> Self {
        self.options.ignore_hints = true;
        self
    }

    /// Connects, so that wrong settings fail here and not at the first call.
    ///
    /// # Errors
    /// - [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if the server cannot be started or reached, or does not
    ///   speak MCP.
    /// - [`ErrorKind::Denied`](llmspell::ErrorKind::Denied) if the server requires other credentials.
    /// - [`ErrorKind::Timeout`](llmspell::ErrorKind::Timeout) if the time limit passes.
    /// - [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if the URL is not an HTTP URL.
    pub async fn connect(self, cx: &Context) -> Result<Client> {
        let inner = Arc::new(ReconnectingClient::new(self.endpoint, self.options)?);
        inner.connection(cx).await?;
        Ok(Client { inner, listed: Arc::default() })
    }
}
