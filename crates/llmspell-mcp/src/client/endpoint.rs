//! The address of a server, and the options for calls to it.

use std::time::Duration;

use reqwest::Url;

use super::child::Program;

/// The address of a server.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Stdio(Program),
    Http { url: String, token: Option<String> },
}

impl Endpoint {
    /// Returns the server's name for messages, without the parts of a URL that may be secret.
    pub(crate) fn display_name(&self) -> String {
        match self {
            Endpoint::Stdio(program) => program.name(),
            Endpoint::Http { url, .. } => match Url::parse(url) {
                Ok(url) => {
                    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
                }
                Err(_) => "an invalid URL".to_owned(),
            },
        }
    }
}

/// Options that apply to all calls of a client.
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
