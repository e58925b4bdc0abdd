//! Where a server is, and how a connection to it is made.

use std::sync::Arc;
use std::time::Duration;

use llmspell::{Error, ErrorKind, Result};
use reqwest::Url;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tokio::sync::watch;
use tokio::time::timeout;

use super::answer;
use super::child::Program;
use super::connection::{CancelGrace, Connection};
use super::limited_transport::LimitedTransport;

/// How a stream of answers that broke off is taken up again: a few times, where rmcp would go on for ever. A server
/// that says when (`retry`) is waited for that long each time.
fn resuming() -> ExponentialBackoff {
    let mut backoff = ExponentialBackoff::default();
    backoff.max_times = Some(5);
    backoff.base_duration = Duration::from_millis(200);
    backoff.max_delay = Some(Duration::from_secs(2));
    backoff
}

/// Where a server is.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Stdio(Program),
    Http { url: String, token: Option<String> },
}

impl Endpoint {
    /// Where the server is, without what may be secret in an address.
    pub(crate) fn shown(&self) -> String {
        match self {
            Endpoint::Stdio(program) => program.name(),
            Endpoint::Http { url, .. } => match Url::parse(url) {
                Ok(url) => {
                    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
                }
                Err(_) => "an address that cannot be read".to_owned(),
            },
        }
    }
}

/// What holds for all calls of a client.
#[derive(Clone)]
pub(crate) struct CallOptions {
    pub(crate) call_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) runaway_grace: Duration,
    pub(crate) prefix: String,
    pub(crate) ignore_hints: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        CallOptions {
            call_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(30),
            runaway_grace: Duration::from_secs(1),
            prefix: String::new(),
            ignore_hints: false,
        }
    }
}

/// What it takes to connect, again and again.
pub(crate) struct Connector {
    place: Endpoint,
    pub(crate) shown: String,
    pub(crate) rules: CallOptions,
    http: Option<reqwest::Client>,
    /// Counts how often the server said that its tools have changed.
    pub(crate) changes: watch::Sender<u64>,
}

impl Connector {
    pub(crate) fn new(place: Endpoint, rules: CallOptions) -> Result<Self> {
        let shown = place.shown();
        let http = match &place {
            Endpoint::Stdio(_) => None,
            Endpoint::Http { url, .. } => {
                let is_http = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
                if !is_http {
                    let message = "the address of an MCP server begins with `http://` or `https://`";
                    return Err(Error::invalid(message));
                }
                // Whoever embeds this crate may have chosen a provider already: that one is fine.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder()
                    .user_agent(concat!("llmspell/", env!("CARGO_PKG_VERSION")))
                    .connect_timeout(rules.connect_timeout)
                    // The token would go wherever a redirect leads to.
                    .redirect(reqwest::redirect::Policy::none())
                    .no_proxy()
                    // As rmcp has it: a kept connection whose last answer was not read to its end stalls for 40 ms.
                    .pool_max_idle_per_host(0)
                    .build()?;
                Some(client)
            }
        };
        let (changes, _) = watch::channel(0);
        Ok(Connector { place, shown, rules, http, changes })
    }

    /// Connects, within the time that connecting may take.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        timeout(self.rules.connect_timeout, Box::pin(self.open())).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Timeout,
                format!("the MCP server `{}` did not answer the handshake in time", self.shown),
            )
            .with_hint("allow it more with `connect_timeout`, or see whether it speaks MCP at all"))
        })
    }

    async fn open(&self) -> Result<Connection> {
        let patience = CancelGrace { grace: self.rules.runaway_grace, ignores_cancel: self.rules.call_timeout };
        let opened = match &self.place {
            Endpoint::Stdio(program) => {
                let (process, output, input) = program.start()?;
                let transport = LimitedTransport::new(output, input);
                Connection::open(transport, Some(process), self.changes.clone(), patience).await
            }
            Endpoint::Http { url, token } => {
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                    // How many calls run at once is up to limits that can be seen.
                    .max_concurrent_requests(1024);
                config.retry_config = Arc::new(resuming());
                if let Some(token) = token {
                    config = config.auth_header(token.as_str());
                }
                let client = self.http.clone().unwrap_or_default();
                let transport = StreamableHttpClientTransport::with_client(client, config);
                Connection::open(transport, None, self.changes.clone(), patience).await
            }
        };
        opened.map_err(|(error, last)| match last {
            Some(last) => answer::hung_up(&error, &last, &self.shown),
            None => answer::handshake(&error, &self.shown),
        })
    }
}
