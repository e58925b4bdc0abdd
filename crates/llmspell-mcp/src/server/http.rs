//! The server over streamable HTTP: binds the address, accepts connections and shuts down.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use llmspell::{Error, Result};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Server;
use super::handler::{Handler, ServerState};
use super::request_guard::{McpService, RequestGuard};
use super::session::Session;

/// The most open connections; more wait to be accepted.
const MAX_CONNECTIONS: usize = 512;

/// The delay after which a client may resume a stream that broke off.
const RESUME_DELAY: Duration = Duration::from_millis(500);

/// The time for the last answers to reach their connections.
const FLUSH_TIME: Duration = Duration::from_millis(100);

/// How long connections may take to end by themselves at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The settings of an HTTP server, returned by [`Server::http`].
#[derive(Clone)]
#[must_use = "nothing listens until `bind` is awaited"]
pub struct Http {
    server: Server,
    address: String,
    token: Option<String>,
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Http {
    pub(crate) fn new(server: Server, address: String) -> Self {
        Http { server, address, token: None, hosts: Vec::new(), origins: Vec::new() }
    }

    /// Sets the bearer token that clients must send. It is required beyond loopback.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Allows a host name, with or without a port, in the `Host` header.
    ///
    /// `localhost`, the loopback addresses and the address of the listener are allowed already. All other hosts are
    /// rejected, so that no web page can reach the server under a name of its own (DNS rebinding).
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Allows a web origin, such as `https://app.example.com:443`, whose pages may use this server.
    ///
    /// The server's own local origin (`http://localhost` with its port) is allowed already, and no other. Clients other
    /// than browsers send no `Origin` and are not affected.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Binds the address. The endpoint is at the path `/mcp`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) for an address beyond loopback without a token, and
    /// [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if the address is in use or invalid.
    pub async fn bind(self) -> Result<BoundServer> {
        let bind_error =
            |error: io::Error| Error::failed(format!("cannot listen on {}: {error}", self.address)).with_source(error);
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&self.address).await.map_err(bind_error)?.collect();
        // Checked before anything listens.
        if self.token.is_none() && addresses.iter().any(|address| !address.ip().is_loopback()) {
            let message = format!("{} is reachable from other machines, which could then call the tools", self.address);
            return Err(Error::invalid(message).with_hint("set a token with `token`, or listen on 127.0.0.1"));
        }
        if self.token.as_ref().is_some_and(String::is_empty) {
            return Err(Error::invalid("an empty token protects nothing"));
        }
        let listener = TcpListener::bind(&addresses[..]).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        Ok(BoundServer { listener, address, http: self })
    }
}

/// Shows whether there is a token, but not the token.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("server", &self.server)
            .field("address", &self.address)
            .field("has_token", &self.token.is_some())
            .field("hosts", &self.hosts)
            .field("origins", &self.origins)
            .finish()
    }
}

/// A server that listens, returned by [`Http::bind`].
#[derive(Debug)]
#[must_use = "the server accepts no connections until `serve` is awaited"]
pub struct BoundServer {
    listener: TcpListener,
    address: SocketAddr,
    http: Http,
}

impl BoundServer {
    /// Returns the address of the listener. If the requested port was 0, this is the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for clients, such as `http://127.0.0.1:8000/mcp`.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Serves until `shutdown` completes. Then new calls are rejected, calls in flight have the
    /// [time to drain](Server::drain), and the rest is cancelled. Dropping the future ends everything at once.
    ///
    /// # Errors
    /// None at present: failures to accept a connection are retried.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let BoundServer { listener, address, http } = self;
        let drain = http.server.drain;
        let end = CancellationToken::new();
        // Ends the sessions even if this future is dropped.
        let _end_on_drop = end.clone().drop_guard();
        let token = http.token.clone();
        let (service, state) = http.service(address, end.clone());
        let guard = RequestGuard::new(service, token);
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&listener, &permits) => {
                    let (stream, permit) = accepted;
                    let guard = guard.clone();
                    connections.spawn(async move {
                        guard.serve(stream).await;
                        drop(permit);
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        state.admission.drain(drain).await;
        // The tasks of the connections write the last answers; `end` would overtake them.
        tokio::time::sleep(FLUSH_TIME).await;
        end.cancel();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
        Ok(())
    }
}

impl Http {
    /// Returns rmcp's service with the allowed hosts and origins, and the state that its sessions share.
    fn service(self, address: SocketAddr, end: CancellationToken) -> (McpService, Arc<ServerState>) {
        let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if !address.ip().is_unspecified() {
            hosts.push(address.ip().to_string());
        }
        hosts.extend(self.hosts);
        // The server's own origin cannot be a foreign page, and MCP's conformance suite requires it to be allowed.
        let port = address.port();
        let mut origins = self.origins;
        origins.extend(["localhost", "127.0.0.1", "[::1]"].map(|host| format!("http://{host}:{port}")));
        let config = StreamableHttpServerConfig::default()
            .with_allowed_hosts(hosts)
            .with_allowed_origins(origins)
            .enforce_origin_validation()
            .with_sse_retry(Some(RESUME_DELAY))
            .with_cancellation_token(end);
        let state = Arc::new(self.server.into_state());
        let factory = {
            let (state, open_sessions) = (state.clone(), Arc::new(AtomicUsize::new(0)));
            move || Session::open(Handler(state.clone()), open_sessions.clone())
        };
        let mut manager = LocalSessionManager::default();
        manager.session_config.sse_retry = Some(RESUME_DELAY);
        (StreamableHttpService::new(factory, Arc::new(manager), config), state)
    }
}

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            // Unreachable: the semaphore is never closed.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            // Too many open files, or a client that has left already: both are temporary.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
