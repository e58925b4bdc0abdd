//! The server over HTTP.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use llmspell::{Error, Result};
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ListToolsResult, PaginatedRequestParams, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Server;
use super::handler::Handler;
use super::timeout_body::TimeoutBody;

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 512;

/// Sessions at once. One that is not used ends after five minutes.
const MAX_SESSIONS: usize = 1024;

/// When a client whose stream broke off is to come back for the rest.
const RESUME: Duration = Duration::from_millis(500);

/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long its body may take: 4 MiB, the most that is read, over a slow line.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Where and for whom a server listens; made by [`Server::http`].
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

    /// The bearer token that clients must show. Beyond loopback there must be one.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// A name that clients may call this server by, with a port or without one. `localhost`, the loopback addresses
    /// and the address that is listened on are known already; whatever else the `Host` header says is refused, so
    /// that no page of the web can reach the server under a name of its own.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// A web origin, such as `https://app.example.com:443`, whose pages may use this server. But for its own on this
    /// machine (`http://localhost` with its port) none may unless they are named; clients that are no browsers send
    /// no `Origin` and are not concerned.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Listens, at the path `/mcp`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) for an address beyond loopback without a token, and
    /// [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if the address is taken or none.
    pub async fn bind(self) -> Result<BoundServer> {
        let cannot =
            |error: io::Error| Error::failed(format!("cannot listen on {}: {error}", self.address)).with_source(error);
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&self.address).await.map_err(cannot)?.collect();
        // Looked at before anything listens.
        if self.token.is_none() && addresses.iter().any(|address| !address.ip().is_loopback()) {
            let message =
                format!("{} can be reached from other machines, and anybody there could call the tools", self.address);
            return Err(Error::invalid(message).with_hint("set a token with `token`, or listen on 127.0.0.1"));
        }
        if self.token.as_ref().is_some_and(String::is_empty) {
            return Err(Error::invalid("an empty token protects nothing"));
        }
        let listener = TcpListener::bind(&addresses[..]).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(BoundServer { listener, address, http: self })
    }
}

/// A server that listens; made by [`Http::bind`].
#[must_use = "nobody is served until `serve` is awaited"]
pub struct BoundServer {
    listener: TcpListener,
    address: SocketAddr,
    http: Http,
}

impl BoundServer {
    /// Where it listens: with the port that was found if the port was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address for clients, such as `http://127.0.0.1:8000/mcp`.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Serves until `shutdown` completes. Then no more calls are taken on, those under way have the
    /// [time to drain](Server::drain), and what is left is cancelled. Dropping the future ends everything at once.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`](llmspell::ErrorKind::Failed) if nobody can be accepted any more.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let BoundServer { listener, address, http } = self;
        let drain = http.server.drain;
        let shared = Arc::new(http.server.shared());
        let end = CancellationToken::new();
        // Ends the sessions, also if this future is dropped.
        let _end = end.clone().drop_guard();
        let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if !address.ip().is_unspecified() {
            hosts.push(address.ip().to_string());
        }
        hosts.extend(http.hosts);
        // Its own origin cannot be that of a stranger, and the conformance suite of MCP wants it let in.
        let port = address.port();
        let mut origins = http.origins;
        origins.extend(["localhost", "127.0.0.1", "[::1]"].map(|host| format!("http://{host}:{port}")));
        let config = StreamableHttpServerConfig::default()
            .with_allowed_hosts(hosts)
            .with_allowed_origins(origins)
            .enforce_origin_validation()
            .with_sse_retry(Some(RESUME))
            .with_cancellation_token(end.clone());
        let sessions = Arc::new(AtomicUsize::new(0));
        let factory = {
            let shared = shared.clone();
            move || Session::begin(Handler(shared.clone()), sessions.clone())
        };
        let mut manager = LocalSessionManager::default();
        manager.session_config.sse_retry = Some(RESUME);
        let service = StreamableHttpService::new(factory, Arc::new(manager), config);
        let door = RequestGuard { service, token: http.token.map(Arc::from) };
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&listener, &room) => {
                    let (stream, place) = accepted;
                    let door = door.clone();
                    connections.spawn(async move {
                        door.serve(stream).await;
                        drop(place);
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        shared.admission.drain(drain).await;
        // The last answers are written by the tasks of their connections, which the end would overtake.
        tokio::time::sleep(LAST_RESPONSE_TIME).await;
        end.cancel();
        let _ = tokio::time::timeout(LAST, async { while connections.join_next().await.is_some() {} }).await;
        Ok(())
    }
}

/// How long the answers to the last calls have to reach their connections.
const LAST_RESPONSE_TIME: Duration = Duration::from_millis(100);

/// How long connections may take to end by themselves at the end.
const LAST: Duration = Duration::from_millis(500);

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            // Nobody closes it.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // Too many open files, or a client that has gone again: both pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// What a request goes through before rmcp sees it, which looks at `Host` and `Origin`.
#[derive(Clone)]
struct RequestGuard {
    service: StreamableHttpService<Session, LocalSessionManager>,
    token: Option<Arc<str>>,
}

type HttpResponse = Response<BoxBody<Bytes, Infallible>>;

impl RequestGuard {
    async fn serve(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request: Request<Incoming>| {
            let door = self.clone();
            async move { door.answer(request).await }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        // A connection that breaks off is no matter of anybody else.
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<HttpResponse, Infallible> {
        if let Some(token) = &self.token
            && !shows(&request, token)
        {
            let mut answer = plain(StatusCode::UNAUTHORIZED, "a bearer token is needed");
            answer.headers_mut().insert(WWW_AUTHENTICATE, hyper::header::HeaderValue::from_static("Bearer"));
            return Ok(answer);
        }
        if request.uri().path() != "/mcp" {
            return Ok(plain(StatusCode::NOT_FOUND, "MCP is spoken at /mcp"));
        }
        let request = request.map(|body| TimeoutBody::new(body, BODY_TIMEOUT));
        TowerToHyperService::new(self.service.clone()).call(request).await
    }
}

/// Compared in constant time, for whoever asks could learn the token from how long the answer takes.
fn shows(request: &Request<Incoming>, token: &str) -> bool {
    let shown = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let Some((scheme, shown)) = shown.split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(shown.ct_eq(token.as_bytes()))
}

fn plain(status: StatusCode, text: &'static str) -> HttpResponse {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *answer.status_mut() = status;
    answer
}

/// A handler that counts as a session while it lives.
struct Session {
    handler: Handler,
    sessions: Arc<AtomicUsize>,
}

impl Session {
    fn begin(handler: Handler, sessions: Arc<AtomicUsize>) -> io::Result<Session> {
        // The count goes down with the session, also with this one if it is one too many.
        let many = sessions.fetch_add(1, Ordering::AcqRel);
        let session = Session { handler, sessions };
        if many < MAX_SESSIONS { Ok(session) } else { Err(io::Error::other("too many sessions")) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ServerHandler for Session {
    fn get_info(&self) -> ServerConfig {
        self.handler.get_info()
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.handler.get_tool(name)
    }

    fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ListToolsResult, rmcp::ErrorData>> + Send {
        self.handler.list_tools(request, context)
    }

    fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<CallToolResponse, rmcp::ErrorData>> + Send {
        self.handler.call_tool(request, context)
    }
}
