//! `http_get`: one GET request to a host that the user allows.

mod charset;
mod retry_after;
mod secrets;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use llmspell::schemars::JsonSchema;
use llmspell::tool::{ErasedTool, Security};
use llmspell::{Context, Error, Result, Tool};
use reqwest::header::LOCATION;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::permission::Gate;
use secrets::Secrets;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct HttpGet {
    /// The address, beginning with http:// or https://.
    url: String,
    /// Request headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// How the body is read: `auto` takes it for JSON if the server says so.
    #[serde(default)]
    format: Format,
    /// A larger body is an error. The default is 4 MiB.
    #[serde(default = "four_mebibytes")]
    max_bytes: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Auto,
    Text,
    Json,
}

fn four_mebibytes() -> usize {
    4 << 20
}

/// What comes out.
#[derive(Serialize)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
}

/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// A server that accepts no connection, or falls silent, is given up; the timeout of the step is usually shorter.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);

/// How much of the body of an error is shown.
const SHOWN: usize = 200;

/// The tool.
pub(crate) fn http_get(gate: &Gate) -> ErasedTool {
    let client = Arc::new(Lazy { gate: gate.clone(), client: OnceLock::new() });
    let get = move |arguments: HttpGet, _: Context| {
        let client = client.clone();
        async move { client.get(arguments).await }
    };
    let description = "Fetches a page or a document by HTTP. Gives { status, headers, body }; a status of 400 and above is \
                       an error.";
    Tool::new("http_get", description, get).security(Security::Restricted).erase()
}

/// A client that is made when it is first needed: it reads the certificates of the system.
struct Lazy {
    gate: Gate,
    client: OnceLock<Client>,
}

impl Lazy {
    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Whoever embeds this crate may have chosen a provider already: that one is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("llmspell/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            // The library would send the headers on to whoever a redirect leads to.
            .redirect(redirect::Policy::none())
            // A proxy from the environment would be a host that nobody has allowed.
            .no_proxy()
            .build()?;
        Ok(self.client.get_or_init(|| client))
    }

    async fn get(&self, arguments: HttpGet) -> Result<Value> {
        let url = Url::parse(&arguments.url).map_err(|error| {
            let message = format!("`{}` is not an address: {error}", secrets::scheme(&arguments.url));
            Error::invalid(message).with_source(error).with_hint("write it as https://host/path")
        })?;
        let secrets = Secrets::of(&url, &arguments.headers);
        let shown = shown(&url);
        let mut response = self.followed(url, &arguments.headers, &shown).await?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(refused_by_server(&shown, response, &secrets).await);
        }
        if status.is_redirection() {
            let message = format!("GET {shown}: {status}, and no address to go on to");
            return Err(Error::failed(message).permanent());
        }
        let body = read(&mut response, &shown, arguments.max_bytes).await?;
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in response.headers() {
            let value = charset::header(value.as_bytes());
            // A header that is repeated is a list; so says HTTP.
            headers.entry(name.to_string()).and_modify(|all| *all = format!("{all}, {value}")).or_insert(value);
        }
        let kind = headers.get("content-type").map_or("", String::as_str);
        let json = match arguments.format {
            Format::Json => true,
            Format::Text => false,
            Format::Auto => is_json(kind),
        };
        let body = if json {
            serde_json::from_slice(&body).map_err(|error| {
                Error::failed(format!("GET {shown}: the body is not JSON: {error}")).with_source(error)
            })?
        } else {
            let text = charset::text(body, kind);
            Value::String(text.map_err(|why| {
                Error::failed(format!("GET {shown}: the body is {why}"))
                    .with_hint("fetch it with a `command`")
                    .permanent()
            })?)
        };
        Ok(serde_json::to_value(Reply { status: status.as_u16(), headers, body })?)
    }

    /// The first answer that is no redirect. The headers are for the host that the user named, and for no other: they
    /// are left out for good once a redirect leads to another origin.
    async fn followed(&self, mut url: Url, headers: &BTreeMap<String, String>, shown: &str) -> Result<Response> {
        let mut headers = Some(headers);
        for hop in 0..=REDIRECTS {
            let leads = |why: String| if hop == 0 { why } else { format!("GET {shown} leads on, but {why}") };
            if !matches!(url.scheme(), "http" | "https") {
                let message = leads(format!("`{}:` is not supported", url.scheme()));
                return Err(Error::invalid(message).with_hint("use http: or https:"));
            }
            self.gate.talk(url.host_str().unwrap_or_default(), url.port_or_known_default(), leads)?;
            let mut request = self.client()?.get(url.clone());
            for (name, value) in headers.into_iter().flatten() {
                request = request.header(name, value);
            }
            let response = request.send().await.map_err(|error| failed(shown, error))?;
            let location = response.headers().get(LOCATION).filter(|_| redirects(response.status()));
            let Some(location) = location else { return Ok(response) };
            let next = location.to_str().ok().and_then(|location| url.join(location).ok());
            let Some(next) = next else {
                let message = format!("GET {shown} leads on, but to something that is not an address");
                return Err(Error::failed(message).permanent());
            };
            if next.origin() != url.origin() {
                headers = None;
            }
            url = next;
        }
        Err(Error::failed(format!("GET {shown}: more than {REDIRECTS} redirects")).permanent())
    }
}

/// The answers that name another address for a GET; 304 and 300 do not.
fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The address without what may be secret: user, password, query.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// Whether a `Content-Type` says JSON: `application/json; charset=utf-8`, `application/ld+json`.
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

async fn read(response: &mut Response, shown: &str, most: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(shown, error))? {
        if body.len() + chunk.len() > most {
            let message = format!("GET {shown}: the body is larger than {most} bytes");
            return Err(Error::failed(message).with_hint("raise `max_bytes`"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// No answer: the connection failed or broke.
fn failed(shown: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    let mut reason = error.to_string();
    let mut refused = false;
    while let Some(inner) = source {
        let kind = inner.downcast_ref().map(std::io::Error::kind);
        refused |= kind == Some(std::io::ErrorKind::ConnectionRefused);
        reason = inner.to_string();
        source = inner.source();
    }
    if error.is_builder() {
        return Error::invalid(format!("GET {shown}: {reason}")).with_source(error);
    }
    let error = Error::failed(format!("GET {shown}: {reason}")).with_source(error).transient();
    if refused { error.with_hint("nobody listens there: is the server running, and the port right?") } else { error }
}

/// An answer that is an error. Overload and failures of the server may pass; anything else is final.
async fn refused_by_server(shown: &str, mut response: Response, secrets: &Secrets) -> Error {
    let status = response.status();
    let wait = response.headers().get("retry-after").and_then(|value| retry_after::wait(value.to_str().ok()?));
    let mut message = format!("GET {shown}: {status}");
    if let Ok(Some(body)) = response.chunk().await {
        // Servers repeat what they were sent; a part of a secret at the cut would not be recognised.
        let text = secrets.masked(&String::from_utf8_lossy(&body));
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        if !text.is_empty() {
            message = format!("{message}: {text}");
        }
    }
    let error = match status.as_u16() {
        429 | 503 | 529 => Error::overloaded(message),
        401 | 402 | 407 => Error::denied(message),
        _ => Error::failed(message),
    };
    let passing = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY);
    match (passing, wait) {
        (false, _) => error.permanent(),
        (true, None) => error.transient(),
        (true, Some(wait)) => error.with_retry_after(wait),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_addresses_are_not_shown() {
        let url = Url::parse("https://user:pass@example.org:8443/a?token=secret").unwrap();
        assert_eq!(shown(&url), "https://example.org:8443/a");
    }

    #[test]
    fn json_is_recognised_by_its_content_type() {
        assert!(is_json("application/json; charset=utf-8"));
        assert!(is_json("application/LD+json"));
        assert!(!is_json("text/html"));
    }
}
