//! The client: what a server offers as tools of ours.

mod answer;
mod attempt;
mod bounded;
mod child;
mod connection;
mod link;
mod listing;
mod names;
mod ticket;
mod watched;
mod way;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use llmspell::tool::DynTool;
use llmspell::{Context, Extension, Registry, Result};
use rmcp::ClientHandler;
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion};

use child::Program;
use link::Link;
use way::{Place, Rules};

/// What this client tells servers of itself: its name, and that it offers them nothing. A server that would like to
/// ask a model (sampling), a user (elicitation) or for folders (roots) is not given the chance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Me;

impl ClientHandler for Me {
    fn get_info(&self) -> ClientConfig {
        let me = Implementation::new("llmspell", env!("CARGO_PKG_VERSION"));
        // The last version that begins with a handshake, which is what servers expect whose version is not known.
        let version = ProtocolVersion::V_2025_11_25;
        ClientConfig::new(ClientCapabilities::default(), me).with_protocol_version(version)
    }
}

/// How to reach a server; made by [`Client::stdio`] and [`Client::http`].
#[derive(Clone)]
#[must_use = "nothing is connected until `connect` is awaited"]
pub struct Connect {
    place: Place,
    rules: Rules,
}

/// A connection to an MCP server that comes back when it is lost.
///
/// Clones and the tools that it lists share the connection; when the last of them is dropped, the connection ends, and
/// with it the process of a server that was started for it.
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
    link: Arc<Link>,
    /// How many changes of the tools had been announced when they were last listed.
    listed: Arc<AtomicU64>,
}

impl Client {
    /// A server that is started as a child process and talks over its standard streams.
    ///
    /// It gets a clean environment: what is [named](Connect::env), and of ours only what programs can hardly do without
    /// (`PATH`, `HOME`, `USER`, `LANG` and a few more). It leads a process group of its own, which ends with it.
    pub fn stdio(program: impl Into<OsString>) -> Connect {
        Connect {
            place: Place::Stdio(Program {
                program: program.into(),
                arguments: Vec::new(),
                environment: BTreeMap::new(),
                inherited: Vec::new(),
                folder: None,
                grace: Duration::from_secs(2),
            }),
            rules: Rules::default(),
        }
    }

    /// A server that is there already and talks over streamable HTTP, such as `http://127.0.0.1:8000/mcp`. Redirects
    /// are not followed, and proxies of the environment not used.
    pub fn http(url: impl Into<String>) -> Connect {
        Connect { place: Place::Http { url: url.into(), token: None }, rules: Rules::default() }
    }

    /// What the server offers, all pages of it, as tools from JSON to JSON.
    ///
    /// A tool gives the structured content of the server's answer if there is some, its text otherwise, and where
    /// there is more than text (images, resources) the content as MCP describes it. Its
    /// [security](llmspell::tool::Security) is `restricted` if the server says that it only reads, `privileged`
    /// otherwise; one that is said to read only, or to be idempotent, is [idempotent](llmspell::Step::idempotent).
    /// One that is said to destroy runs [alone](llmspell::tool::Concurrency::Exclusive) in a turn of an agent. See
    /// [`Connect::ignore_hints`] for servers whose word is not to be taken.
    ///
    /// Their names are such that models can call them: what is no ASCII letter, digit, `_` or `-` becomes `_`, what is
    /// longer than 64 is cut, and of names that become the same so the later ones get a number (`files.read` is
    /// `files_read`, or `files_read_2` beside a tool of that name). The server is asked by its own name.
    ///
    /// Tools stay usable when the connection is lost and comes back. A tool that runs only as a task of MCP is
    /// listed, and the server refuses calls of it.
    ///
    /// # Errors
    /// Those of connecting, and [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if the list has no end.
    pub async fn tools(&self, cx: &Context) -> Result<Vec<DynTool>> {
        let changes = self.link.changes();
        let tools = listing::list(&self.link, cx).await?;
        self.listed.store(changes, Ordering::Release);
        Ok(tools)
    }

    /// The tools that the server offers, to be added to a [`Registry`]: an extension in a process of its own.
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
    /// Those of [`Client::tools`].
    pub async fn extension(&self, cx: &Context) -> Result<ServerTools> {
        Ok(ServerTools { name: self.link.place().to_owned(), tools: self.tools(cx).await? })
    }

    /// Completes when the server has said that its tools are not those that were last [listed](Client::tools).
    pub async fn changed(&self) {
        let listed = self.listed.load(Ordering::Acquire);
        self.link.changed_since(listed).await;
    }

    /// Ends the connection and waits until it has ended: a child process is given its
    /// [grace](Connect::grace). Calls that wait for a connection fail as
    /// [cancelled](llmspell::ErrorKind::Cancelled); a later one connects again.
    pub async fn close(&self) {
        self.link.close().await;
    }

    /// The number of the server's process, if it was started for this client and runs.
    pub async fn process_id(&self) -> Option<u32> {
        self.link.process_id()
    }
}

/// The tools of a server as an extension; made by [`Client::extension`].
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
        f.debug_struct("Client").field("server", &self.link.place()).finish_non_exhaustive()
    }
}

/// Shows where the server is, and none of the secrets that it is given.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("server", &self.place.shown()).finish_non_exhaustive()
    }
}

impl Connect {
    fn program(mut self, change: impl FnOnce(&mut Program)) -> Self {
        match &mut self.place {
            Place::Stdio(program) => change(program),
            Place::Http { .. } => panic!("a server behind HTTP is not started from here: use `Client::stdio`"),
        }
        self
    }

    /// One more argument of the server's program.
    ///
    /// # Panics
    /// If the server is reached over HTTP, as all settings of the program do.
    pub fn arg(self, argument: impl Into<OsString>) -> Self {
        self.program(|program| program.arguments.push(argument.into()))
    }

    /// More arguments of the server's program.
    pub fn args(self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.program(|program| program.arguments.extend(arguments.into_iter().map(Into::into)))
    }

    /// A variable of the server's environment. Its value appears in no error and no event.
    pub fn env(self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.program(|program| drop(program.environment.insert(name.into(), value.into())))
    }

    /// A variable that the server inherits, beside the usual few.
    pub fn inherit(self, name: impl Into<OsString>) -> Self {
        self.program(|program| program.inherited.push(name.into()))
    }

    /// The folder the server starts in. The default is ours.
    pub fn folder(self, folder: impl Into<PathBuf>) -> Self {
        self.program(|program| program.folder = Some(folder.into()))
    }

    /// How long the server's process may take to end once its input has ended, and again once it is asked to (SIGTERM),
    /// before it is killed. The default is 2 s.
    pub fn grace(self, grace: Duration) -> Self {
        self.program(|program| program.grace = grace)
    }

    /// The bearer token to show to the server. It appears in no error and no event.
    ///
    /// # Panics
    /// If the server is not reached over HTTP.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        match &mut self.place {
            Place::Http { token: known, .. } => *known = Some(token.into()),
            Place::Stdio(_) => {
                panic!("a child process needs no token: use `Client::http`, or `env` to hand it a secret")
            }
        }
        self
    }

    /// The longest that a call may take, retries of the connection included. The default is 60 s. There always is a
    /// limit: this one or the deadline of the context, whichever is nearer.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.rules.call_timeout = timeout;
        self
    }

    /// The longest that connecting may take, the start of a program included. The default is 30 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.rules.connect_timeout = timeout;
        self
    }

    /// How long a call that was dropped or ran out of time counts as alive, as a
    /// [runaway](llmspell::Context::detached_work), if nothing more is heard of it. The default is 1 s.
    ///
    /// MCP has no answer to a cancellation: a server that heeds it is silent, and so is one that works on. Until its
    /// late answer or the end of this time the permits of the call stay taken. A server that has answered a cancelled
    /// call once is known not to heed cancellations; from then on its calls count as alive until they are answered,
    /// for as long as [a call may take](Connect::call_timeout).
    pub fn runaway_grace(mut self, grace: Duration) -> Self {
        self.rules.runaway_grace = grace;
        self
    }

    /// What the names of the tools begin with here, to tell those of several servers apart. Is made
    /// [callable](Client::tools), as the rest of the name is.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.rules.prefix = prefix.into();
        self
    }

    /// Does not take the server's word for what its tools do: all are privileged, and none is idempotent.
    pub fn ignore_hints(mut self) -> Self {
        self.rules.ignore_hints = true;
        self
    }

    /// Connects, so that mistakes show at once.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if the server cannot be started or reached, or does not speak MCP,
    /// [`ErrorKind::Denied`](llmspell::ErrorKind::Denied) if it wants other credentials, and
    /// [`ErrorKind::Timeout`](llmspell::ErrorKind::Timeout).
    pub async fn connect(self, cx: &Context) -> Result<Client> {
        let link = Arc::new(Link::new(self.place, self.rules)?);
        link.connection(cx).await?;
        Ok(Client { link, listed: Arc::default() })
    }
}
