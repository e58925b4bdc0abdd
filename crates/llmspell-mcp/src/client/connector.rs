//! Opens connections to one server.

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
use super::connection::{CancelGrace, Connection};
use super::endpoint::{CallOptions, Endpoint};
use super::limited_transport::LimitedTransport;

/// Returns the backoff for resuming an interrupted stream of answers. Its retries are limited; rmcp's default would
/// retry for ever. If the server names a delay (`retry`), that delay is used each time.
fn resume_backoff() -> ExponentialBackoff {
    let mut backoff = ExponentialBackoff::default();
    backoff.max_times = Some(5);
    backoff.base_duration = Duration::from_millis(200);
    backoff.max_delay = Some(Duration::from_secs(2));
    backoff
}

/// Opens any number of connections to one endpoint.
pub(crate) struct Connector {
    endpoint: Endpoint,
    /// The server's name for messages.
    pub(crate) server: String,
    pub(crate) options: CallOptions,
    http: Option<reqwest::Client>,
    /// Counts the server's announcements that its tools have changed.
    pub(crate) changes: watch::Sender<u64>,
}

impl Connector {
    pub(crate) fn new(endpoint: Endpoint, options: CallOptions) -> Result<Self> {
        let server = endpoint.display_name();
        let http = match &endpoint {
            Endpoint::Stdio(_) => None,
            Endpoint::Http { url, .. } => {
                let is_http = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
                if !is_http {
                    let message = "the URL of an MCP server must begin with `http://` or `https://`";
                    return Err(Error::invalid(message));
                }
                // An error means that the embedding program has installed a provider already, which serves as well.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder()
                    .user_agent(concat!("llmspell/", env!("CARGO_PKG_VERSION")))
                    .connect_timeout(options.connect_timeout)
                    // The token would be sent to the target of a redirect.
                    .redirect(reqwest::redirect::Policy::none())
                    .no_proxy()
                    // As in rmcp: a pooled connection whose last answer was not read to its end stalls for 40 ms.
                    .pool_max_idle_per_host(0)
                    .build()?;
                Some(client)
            }
        };
        let (changes, _) = watch::channel(0);
        Ok(Connector { endpoint, server, options, http, changes })
    }

    /// Opens a connection within the connect timeout.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        timeout(self.options.connect_timeout, Box::pin(self.open())).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Timeout,
                format!("the MCP server `{}` did not answer the handshake in time", self.server),
            )
            .with_hint("raise `connect_timeout`, or check that the server speaks MCP"))
        })
    }

    async fn open(&self) -> Result<Connection> {
        let grace = CancelGrace { unknown: self.options.runaway_grace, ignores_cancel: self.options.call_timeout };
        let opened = match &self.endpoint {
            Endpoint::Stdio(program) => {
                let (process, output, input) = program.start()?;
                let transport = LimitedTransport::new(output, input);
                Connection::open(transport, Some(process), self.changes.clone(), grace).await
            }
            Endpoint::Http { url, token } => {
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                    // High enough that only visible limits restrict concurrent calls.
                    .max_concurrent_requests(1024);
                config.retry_config = Arc::new(resume_backoff());
                if let Some(token) = token {
                    config = config.auth_header(token.as_str());
                }
                let client = self.http.clone().unwrap_or_default();
                let transport = StreamableHttpClientTransport::with_client(client, config);
                Connection::open(transport, None, self.changes.clone(), grace).await
            }
        };
        opened.map_err(|(error, exit)| match exit {
            Some(exit) => answer::child_handshake_error(&error, &exit, &self.server),
            None => answer::http_handshake_error(&error, &self.server),
        })
    }
}
