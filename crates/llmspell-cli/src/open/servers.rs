//! MCP servers: connected before a run, closed behind it.

use tokio::runtime::Runtime;

use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::show;

impl Servers {
    /// Ends them, in good order unless somebody asks the program to end, which is told: with the runtime, they are
    /// killed.
    pub(crate) fn end(self, runtime: &Runtime, interrupts: &mut Interrupts) -> Option<Exit> {
        runtime.block_on(self.close_unless(interrupts))
    }

    async fn close_unless(self, interrupts: &mut Interrupts) -> Option<Exit> {
        tokio::select! {
            biased;
            asked = interrupts.next() => {
                show::note("stopping at once");
                Some(asked.exit())
            }
            () = self.close() => None,
        }
    }
}

#[cfg(feature = "mcp")]
mod clients {
    use llmspell::tool::DynTool;
    use llmspell::{Context, Error, Result, Step, settle, step};
    use llmspell_flow::{DeclaredServer, Diagnostic, ServerWay, Toolbox};
    use llmspell_mcp::Client;

    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use crate::interrupt::{Asked, Interrupts};
    use crate::open::NotOpened;
    use crate::show;

    /// The servers that have been connected.
    #[derive(Default)]
    pub(crate) struct Servers(Vec<Client>);

    impl Servers {
        /// Ends them, all at the same time.
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
            // Nothing can be done about one that does not end well.
            let _ = settle(self.0.into_iter().map(close).collect::<Vec<_>>()).run((), &Context::new()).await;
        }
    }

    /// Those that have been connected so far.
    type Reached = Arc<Mutex<Vec<Client>>>;

    /// Connects the servers that may be, all at the same time, and asks what they offer; the toolbox has it then. Who
    /// asks the program to end calls it off: none of them is left behind.
    pub(crate) async fn connect(
        declared: &[DeclaredServer],
        mut toolbox: Toolbox,
        interrupts: &mut Interrupts,
    ) -> std::result::Result<(Toolbox, Servers), NotOpened> {
        let (may, may_not): (Vec<_>, Vec<_>) = declared.iter().partition(|server| server.may_be_opened(&toolbox));
        toolbox = may_not.iter().fold(toolbox, |toolbox, server| toolbox.with_unopened_server(&*server.name));
        let reached = Reached::default();
        let reach = |server: &&DeclaredServer| {
            let (way, connect, reached) = (server.way.clone(), server.connect, reached.clone());
            step(move |(), cx| offered(way.clone(), connect, reached.clone(), cx))
        };
        let connected = settle(may.iter().map(reach).collect::<Vec<_>>());
        let cx = Context::new();
        let asked = tokio::select! {
            biased;
            asked = interrupts.next() => Err(asked),
            connected = connected.run((), &cx) => Ok(connected.unwrap_or_default()),
        };
        let servers = Servers(std::mem::take(&mut *reached.lock().unwrap_or_else(PoisonError::into_inner)));
        let connected = match asked {
            Ok(connected) => connected,
            Err(asked) => {
                show::note("stopping: MCP servers were being connected, and nothing was run");
                // Those that were not there yet are killed, and at once so are the others, with the runtime.
                if asked == Asked::Politely {
                    servers.close_unless(interrupts).await;
                }
                return Err(NotOpened::Interrupted(asked.exit()));
            }
        };
        let mut wrong = Vec::<Diagnostic>::new();
        for (server, outcome) in may.into_iter().zip(connected) {
            match outcome.result {
                Ok(tools) => toolbox = toolbox.with_server(&server.name, tools),
                Err(error) => wrong.push(server.diagnose(&in_words_of_flows(error, &server.way))),
            }
        }
        if wrong.is_empty() {
            return Ok((toolbox, servers));
        }
        servers.close_unless(interrupts).await;
        Err(wrong.into_iter().collect::<llmspell_flow::Diagnostics>().into())
    }

    /// The same error with hints at what stands in flow files: the library's name its own settings.
    fn in_words_of_flows(error: Error, way: &ServerWay) -> Error {
        let named = |setting: &str| error.hint().is_some_and(|hint| hint.contains(setting));
        let hint = match way {
            _ if named("`connect_timeout`") => {
                "allow it more time with `connect: 2m`, or see whether it speaks MCP at all".to_owned()
            }
            ServerWay::Http { token: None, .. } if named("`token`") => {
                "name the variable that holds its token beside its `url`: `token: NAME`".to_owned()
            }
            ServerWay::Http { token: Some(variable), .. } if named("`token`") => {
                format!("is what {variable} holds a token for this server?")
            }
            ServerWay::Program { .. } if named("`inherit`") => {
                "does it speak MCP over its standard streams, and need arguments, or variables? It sees those that are \
                 named beside its `command`: `env: [NAME]`"
                    .to_owned()
            }
            _ => return error,
        };
        error.with_hint(hint)
    }

    async fn offered(
        way: ServerWay,
        connect_timeout: Option<Duration>,
        reached: Reached,
        cx: Context,
    ) -> Result<Vec<DynTool>> {
        let connect = match way {
            ServerWay::Program { command, env, .. } => {
                let mut words = command.into_iter();
                let client = Client::stdio(words.next().unwrap_or_default()).args(words);
                env.into_iter().fold(client, |client, name| client.inherit(name))
            }
            ServerWay::Http { url, token, .. } => match token {
                None => Client::http(url),
                Some(variable) => Client::http(url).token(self::token(&variable)?),
            },
            _ => return Err(Error::invalid("this program does not know how to reach such a server")),
        };
        let connect = match connect_timeout {
            Some(time) => connect.connect_timeout(time),
            None => connect,
        };
        let client = connect.connect(&cx).await?;
        reached.lock().unwrap_or_else(PoisonError::into_inner).push(client.clone());
        client.tools(&cx).await
    }

    fn token(variable: &str) -> Result<String> {
        match std::env::var(variable) {
            Ok(token) if !token.trim().is_empty() => Ok(token),
            _ => Err(Error::denied("there is no token for this server").with_hint(format!("set {variable}"))),
        }
    }
}

#[cfg(not(feature = "mcp"))]
mod clients {
    use llmspell::Error;
    use llmspell_flow::{DeclaredServer, Diagnostics, Toolbox};

    use crate::interrupt::Interrupts;
    use crate::open::NotOpened;

    /// None: this program was built without.
    #[derive(Default)]
    pub(crate) struct Servers;

    impl Servers {
        pub(crate) async fn close(self) {}
    }

    pub(crate) async fn connect(
        declared: &[DeclaredServer],
        _: Toolbox,
        _: &mut Interrupts,
    ) -> std::result::Result<(Toolbox, Servers), NotOpened> {
        let error = Error::invalid("this program was built without MCP servers")
            .with_hint("build llmspell-cli with its feature `mcp`");
        Err(declared.iter().map(|server| server.diagnose(&error)).collect::<Diagnostics>().into())
    }
}

pub(crate) use clients::{Servers, connect};
