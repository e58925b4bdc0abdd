//! MCP servers: connected before a run, closed behind it.

#[cfg(feature = "mcp")]
mod clients {
    use llmspell::tool::ErasedTool;
    use llmspell::{Context, Error, Result, Step, settle, step};
    use llmspell_flow::{DeclaredServer, Diagnostic, Diagnostics, ServerWay, Toolbox};
    use llmspell_mcp::Client;

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

    /// Connects the servers that may be, all at the same time, and asks what they offer; the toolbox has it then.
    pub(crate) async fn connect(
        declared: &[DeclaredServer],
        mut toolbox: Toolbox,
    ) -> std::result::Result<(Toolbox, Servers), Diagnostics> {
        let (may, may_not): (Vec<_>, Vec<_>) = declared.iter().partition(|server| server.may_be_opened(&toolbox));
        toolbox = may_not.iter().fold(toolbox, |toolbox, server| toolbox.with_unopened_server(&*server.name));
        let reach = |server: &&DeclaredServer| {
            let way = server.way.clone();
            step(move |(), cx| reached(way.clone(), cx))
        };
        let connected = settle(may.iter().map(reach).collect::<Vec<_>>()).run((), &Context::new()).await;
        let connected = connected.unwrap_or_default();
        let (mut servers, mut wrong) = (Servers::default(), Vec::<Diagnostic>::new());
        for (server, outcome) in may.into_iter().zip(connected) {
            match outcome.result {
                Ok((client, tools)) => {
                    servers.0.push(client);
                    toolbox = toolbox.with_server(&server.name, tools);
                }
                Err(error) => wrong.push(server.diagnose(&error)),
            }
        }
        if wrong.is_empty() {
            return Ok((toolbox, servers));
        }
        servers.close().await;
        Err(wrong.into_iter().collect())
    }

    async fn reached(way: ServerWay, cx: Context) -> Result<(Client, Vec<ErasedTool>)> {
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
        let client = connect.connect(&cx).await?;
        let tools = client.tools(&cx).await?;
        Ok((client, tools))
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

    /// None: this program was built without.
    #[derive(Default)]
    pub(crate) struct Servers;

    impl Servers {
        pub(crate) async fn close(self) {}
    }

    pub(crate) async fn connect(
        declared: &[DeclaredServer],
        _: Toolbox,
    ) -> std::result::Result<(Toolbox, Servers), Diagnostics> {
        let error = Error::invalid("this program was built without MCP servers")
            .with_hint("build llmspell-cli with its feature `mcp`");
        Err(declared.iter().map(|server| server.diagnose(&error)).collect())
    }
}

pub(crate) use clients::{Servers, connect};
