//! Checks HTTP requests before rmcp sees them: time limits, bearer token and path. rmcp checks `Host` and `Origin`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rmcp::transport::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use subtle::ConstantTimeEq;
use tokio::net::TcpStream;

use super::session::Session;
use super::timeout_body::TimeoutBody;

/// The time limit for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The time limit for the body of a request: 4 MiB, the largest body that is read, over a slow line.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) type McpService = StreamableHttpService<Session, LocalSessionManager>;

#[derive(Clone)]
pub(crate) struct RequestGuard {
    service: McpService,
    token: Option<Arc<str>>,
}

type HttpResponse = Response<BoxBody<Bytes, Infallible>>;

impl RequestGuard {
    pub(crate) fn new(service: McpService, token: Option<String>) -> Self {
        RequestGuard { service, token: token.map(Arc::from) }
    }

    /// Serves one connection until it ends.
    pub(crate) async fn serve(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request: Request<Incoming>| {
            let guard = self.clone();
            async move { guard.respond(request).await }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        // A connection that breaks off concerns no other connection.
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<HttpResponse, Infallible> {
        if let Some(token) = &self.token
            && !has_token(&request, token)
        {
            let mut response = text_response(StatusCode::UNAUTHORIZED, "missing or wrong bearer token");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Ok(response);
        }
        if request.uri().path() != "/mcp" {
            return Ok(text_response(StatusCode::NOT_FOUND, "not found: the MCP endpoint is /mcp"));
        }
        let request = request.map(|body| TimeoutBody::new(body, BODY_TIMEOUT));
        TowerToHyperService::new(self.service.clone()).call(request).await
    }
}

/// Returns whether the request carries the token. The comparison takes constant time: otherwise a client could learn
/// the token from response times.
fn has_token(request: &Request<Incoming>, token: &str) -> bool {
    let value = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let Some((scheme, credentials)) = value.split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(credentials.ct_eq(token.as_bytes()))
}

fn text_response(status: StatusCode, text: &'static str) -> HttpResponse {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *response.status_mut() = status;
    response
}
