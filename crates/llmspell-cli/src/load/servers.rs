//! MCP servers of a flow: connected before a run, closed after it.

use tokio::runtime::Runtime;

use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::ui::terminal;

impl Servers {
    /// Closes the servers in order. A signal ends the wait, which is printed; the servers are then killed with the
    /// runtime. Returns the exit code of that signal.
    pub(crate) fn end(self, runtime: &Runtime, interrupts: &mut Interrupts) -> Option<Exit> {
        runtime.block_on(self.close_unless(interrupts))
    }

    async fn close_unless(self, interrupts: &mut Interrupts) -> Option<Exit> {
        tokio::select! {
            biased;
            request = interrupts.next() => {
                terminal::note("stopping immediately");
                Some(request.exit())
            }
            () = self.close() => None,
        }
    }
}

#[cfg(feature = "mcp")]
mod clients {
    use llmspell::tool::DynTool;
    use llmspell::{Context, Error, Result, Step, settle, step};
    use llmspell_flow::{DeclaredServer, Diagnostic, Diagnostics, ServerTransport, Toolbox};
    use llmspell_mcp::Client;

    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use crate::interrupt::{Interrupts, StopRequest};
    use crate::load::LoadFailure;
    use crate::ui::terminal;

    /// The connected servers of a flow.
    #[derive(Default)]
    pub(crate) struct Servers(Vec<Client>);

    impl Servers {
        /// Closes all servers concurrently.
        pub(crate) async fn close(self) {
            let close = |client: Client| {
                step(move |(), _| {
                    let client = client.clone();
                    async move {
                        client.close().await;
                        Ok(())
                    }
                })
            };
            // A server that does not end cleanly cannot be helped, so its outcome is ignored.
            let _ = settle(self.0.into_iter().map(close).collect::<Vec<_>>()).run((), &Context::new()).await;
        }
    }

    /// The clients connected so far. They are kept outside of the connecting steps so that a cancelled one is closed.
    type ConnectedClients = Arc<Mutex<Vec<Client>>>;

    /// Connects the permitted servers concurrently and adds the tools that they offer to the toolbox. A signal cancels
    /// this, and no server is left running.
    pub(crate) async fn connect(
        declared: &[DeclaredServer],
        mut toolbox: Toolbox,
        interrupts: &mut Interrupts,
    ) -> std::result::Result<(Toolbox, Servers), LoadFailure> {
        let (permitted, refused): (Vec<_>, Vec<_>) = declared.iter().partition(|server| server.may_be_opened(&toolbox));
        toolbox = refused.iter().fold(toolbox, |toolbox, server| toolbox.with_unopened_server(&*server.name));
        let clients = ConnectedClients::default();
        let connect_one = |server: &&DeclaredServer| {
            let (way, timeout, clients) = (server.transport.clone(), server.connect, clients.clone());
            step(move |(), cx| offered_tools(way.clone(), timeout, clients.clone(), cx))
        };
        let all = settle(permitted.iter().map(connect_one).collect::<Vec<_>>());
        let cx = Context::new();
        let connected = tokio::select! {
            biased;
            request = interrupts.next() => Err(request),
            connected = all.run((), &cx) => Ok(connected.unwrap_or_default()),
        };
        let servers = Servers(std::mem::take(&mut *clients.lock().unwrap_or_else(PoisonError::into_inner)));
        let connected = match connected {
            Ok(connected) => connected,
            Err(request) => return Err(interrupted(request, servers, interrupts).await),
        };
        let mut problems = Vec::<Diagnostic>::new();
        for (server, outcome) in permitted.into_iter().zip(connected) {
            match outcome.result {
                Ok(tools) => toolbox = toolbox.with_server(&server.name, tools),
                Err(error) => problems.push(server.diagnose(&with_flow_hint(error, &server.transport))),
            }
        }
        if problems.is_empty() {
            return Ok((toolbox, servers));
        }
        servers.close_unless(interrupts).await;
        Err(problems.into_iter().collect::<Diagnostics>().into())
    }

    /// Prints that connecting was cancelled, and closes the servers that were connected already.
    async fn interrupted(request: StopRequest, servers: Servers, interrupts: &mut Interrupts) -> LoadFailure {
        terminal::note("stopping: MCP servers were being connected, and no record was run");
        // Servers that were still connecting are killed. After an immediate stop, so are the others, with the runtime.
        if request == StopRequest::Graceful {
            servers.close_unless(interrupts).await;
        }
        LoadFailure::Interrupted(request.exit())
    }

    /// Replaces a hint that names settings of the library by one that names keys of flow files.
    fn with_flow_hint(error: Error, way: &ServerTransport) -> Error {
        let names = |setting: &str| error.hint().is_some_and(|hint| hint.contains(setting));
        let hint = match way {
            _ if names("`connect_timeout`") => {
                "allow it more time with `connect: 2m`, or check that it is an MCP server".to_owned()
            }
            ServerTransport::Http { token: None, .. } if names("`token`") => {
                "name the variable that holds its token beside its `url`: `token: NAME`".to_owned()
            }
            ServerTransport::Http { token: Some(variable), .. } if names("`token`") => {
                format!("check that {variable} holds a token for this server")
            }
            ServerTransport::Program { .. } if names("`inherit`") => {
                "check that it speaks MCP over its standard streams, and its arguments; it sees only the variables that \
                 are named beside its `command`: `env: [NAME]`"
                    .to_owned()
            }
            _ => return error,
        };
        error.with_hint(hint)
    }

    /// Connects one server and returns its tools.
    async fn offered_tools(
        way: ServerTransport,
        connect_timeout: Option<Duration>,
        clients: ConnectedClients,
        cx: Context,
    ) -> Result<Vec<DynTool>> {
        let connect = match way {
            ServerTransport::Program { command, env, .. } => {
                let mut words = command.into_iter();
                let client = Client::stdio(words.next().unwrap_or_default()).args(words);
                env.into_iter().fold(client, |client, name| client.inherit(name))
            }
            ServerTransport::Http { url, token, .. } => match token {
                None => Client::http(url),
                Some(variable) => Client::http(url).token(self::token(&variable)?),
            },
            _ => return Err(Error::invalid("this program does not support this kind of server")),
        };
        let connect = match connect_timeout {
            Some(time) => connect.connect_timeout(time),
            None => connect,
        };
        let client = connect.connect(&cx).await?;
        clients.lock().unwrap_or_else(PoisonError::into_inner).push(client.clone());
        client.tools(&cx).await
    }

    fn token(variable: &str) -> Result<String> {
        match std::env::var(variable) {
            Ok(token) if !token.trim().is_empty() => Ok(token),
            _ => Err(Error::denied("the token of this server is not set").with_hint(format!("set {variable}"))),
        }
    }
}

#[cfg(not(feature = "mcp"))]
mod clients {
    use llmspell::Error;
    use llmspell_flow::{DeclaredServer, Diagnostics, Toolbox};

    use crate::interrupt::Interrupts;
    use crate::load::LoadFailure;

    /// No servers: this program was built without MCP.
    #[derive(Default)]
    pub(crate) struct Servers;

    impl Servers {
        pub(crate) async fn close(self) {}
    }

    pub(crate) async fn connect(
        declared: &[DeclaredServer],
        _: Toolbox,
        _: &mut Interrupts,
    ) -> std::result::Result<(Toolbox, Servers), LoadFailure> {
        let error = Error::invalid("this program was built without MCP servers")
            .with_hint("build llmspell-cli with its feature `mcp`");
        Err(declared.iter().map(|server| server.diagnose(&error)).collect::<Diagnostics>().into())
    }
}

pub(crate) use clients::{Servers, connect};
