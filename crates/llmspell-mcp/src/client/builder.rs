//! The settings of a client.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use llmspell::{Context, Result};

use super::Client;
use super::child::Program;
use super::endpoint::{CallOptions, Endpoint};
use super::reconnecting_client::ReconnectingClient;

/// The settings of a [`Client`], built by [`Client::stdio`] and [`Client::http`].
#[derive(Clone)]
#[must_use = "nothing is connected until `connect` is awaited"]
pub struct ClientBuilder {
    endpoint: Endpoint,
    options: CallOptions,
}

/// Shows the server's name, without the secrets that it is given.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("server", &self.endpoint.display_name()).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(super) fn stdio(program: OsString) -> Self {
        ClientBuilder {
            endpoint: Endpoint::Stdio(Program {
                program,
                arguments: Vec::new(),
                environment: BTreeMap::new(),
                inherited: Vec::new(),
                folder: None,
                grace: Duration::from_secs(2),
            }),
            options: CallOptions::default(),
        }
    }

    pub(super) fn http(url: String) -> Self {
        ClientBuilder { endpoint: Endpoint::Http { url, token: None }, options: CallOptions::default() }
    }

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

    /// Sets how long the server may take to exit after its input has ended, and again after SIGTERM, before it is
    /// killed. The default is 2 s.
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

    /// Sets the time limit of a call, including reconnection. The default is 60 s. The deadline of the context applies
    /// if it is earlier.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.options.call_timeout = timeout;
        self
    }

    /// Sets the time limit for connecting, including the start of a program. The default is 30 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// Sets how long a call that was dropped or timed out counts as a [runaway](llmspell::Context::detached_work) if
    /// the server sends nothing more about it. The default is 1 s.
    ///
    /// MCP has no answer to a cancellation: a server that stops the work is as silent as one that continues it. The
    /// call keeps its permits until a late answer arrives or this time has passed. A server that has answered a
    /// cancelled call is known to ignore cancellations. From then on its calls keep their permits until they are
    /// answered, for at most the [call timeout](ClientBuilder::call_timeout).
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
        Ok(Client::new(inner))
    }
}
