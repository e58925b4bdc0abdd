//! HTTP for all tools: to allowed hosts, within bounds, with errors that say whether another attempt may help.

mod charset;
mod client;
mod failure;
mod retry_after;
mod secrets;

use std::collections::BTreeMap;

use llmspell::schemars::JsonSchema;
use llmspell::{Error, Result};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use client::Http;

use failure::Request;
use secrets::Secrets;

/// How to read a body.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "lowercase")]
pub(super) enum BodyFormat {
    #[default]
    Auto,
    Text,
    Json,
}

/// A request to send.
pub(super) struct HttpCall {
    pub(super) method: Method,
    pub(super) url: String,
    /// Appended to the query of the address.
    pub(super) query: BTreeMap<String, Value>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<Body>,
    pub(super) format: BodyFormat,
    /// The largest response body in bytes; more is an error.
    pub(super) max_bytes: usize,
    /// Whether the request may be sent again if its delivery is unknown.
    pub(super) repeatable: bool,
}

pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) content_type: &'static str,
}

/// The response.
#[derive(Serialize)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
}

/// The default of `max_bytes`.
pub(super) fn four_mebibytes() -> usize {
    4 << 20
}

/// The most redirects that are followed.
const REDIRECTS: usize = 5;

impl Http {
    pub(super) async fn send(&self, call: HttpCall) -> Result<Value> {
        let url = address(&call)?;
        let secrets = Secrets::of(&url, &call.headers);
        let request = Request { shown: format!("{} {}", call.method, shown(&url)), repeatable: call.repeatable };
        let mut response = self.followed(url, &call, &request).await?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(request.refused_by_server(response, &secrets).await);
        }
        let shown = &request.shown;
        if status.is_redirection() {
            let message = format!("{shown}: {status}, and no address to go on to");
            return Err(Error::failed(message).permanent());
        }
        let body = read(&mut response, &request, call.max_bytes).await?;
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in response.headers() {
            let value = charset::header(value.as_bytes());
            // HTTP treats a repeated header as a list.
            headers.entry(name.to_string()).and_modify(|all| *all = format!("{all}, {value}")).or_insert(value);
        }
        let kind = headers.get("content-type").map_or("", String::as_str);
        let json = match call.format {
            BodyFormat::Json => true,
            BodyFormat::Text => false,
            BodyFormat::Auto => is_json(kind) && !body.is_empty(),
        };
        let body = if json {
            serde_json::from_slice(&body)
                .map_err(|error| Error::failed(format!("{shown}: the body is not JSON: {error}")).with_source(error))?
        } else {
            let text = charset::text(body, kind);
            Value::String(text.map_err(|why| {
                Error::failed(format!("{shown}: the body is {why}")).with_hint("fetch it with a `command`").permanent()
            })?)
        };
        Ok(serde_json::to_value(Reply { status: status.as_u16(), headers, body })?)
    }

    /// Returns the first response that is not a redirect. Headers are sent only to the host that the caller named: a
    /// redirect to another origin drops them for good, and a body is not sent there at all.
    async fn followed(&self, mut url: Url, call: &HttpCall, request: &Request) -> Result<Response> {
        let (mut method, mut body, mut headers) = (call.method.clone(), call.body.as_ref(), Some(&call.headers));
        let shown = &request.shown;
        for hop in 0..=REDIRECTS {
            let leads = |why: String| if hop == 0 { why } else { format!("{shown} leads on, but {why}") };
            if !matches!(url.scheme(), "http" | "https") {
                let message = leads(format!("`{}:` is not supported", url.scheme()));
                return Err(Error::invalid(message).with_hint("use http: or https:"));
            }
            let mut sent = self.client(&url, leads)?.request(method.clone(), url.clone());
            if let Some(body) = body {
                sent = sent.body(body.bytes.clone());
                if !call.headers.keys().any(|name| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str())) {
                    sent = sent.header(CONTENT_TYPE, body.content_type);
                }
            }
            for (name, value) in headers.into_iter().flatten() {
                sent = sent.header(name, value);
            }
            let response = sent.send().await.map_err(|error| request.failed(error))?;
            let status = response.status();
            let location = response.headers().get(LOCATION).filter(|_| redirects(status));
            let Some(location) = location else { return Ok(response) };
            let next = location.to_str().ok().and_then(|location| url.join(location).ok());
            let Some(next) = next else {
                let message = format!("{shown} redirects to an invalid address");
                return Err(Error::failed(message).permanent());
            };
            // As browsers do: 303 asks for another page, and so do 301 and 302 in response to a form.
            let to_get = status == StatusCode::SEE_OTHER && method != Method::HEAD;
            if to_get || (matches!(status.as_u16(), 301 | 302) && method == Method::POST) {
                (method, body) = (Method::GET, None);
            }
            if next.origin() != url.origin() {
                if body.is_some() {
                    let message =
                        format!("{shown} leads on to another host, {}: nothing is sent there", self::shown(&next));
                    return Err(Error::failed(message).with_hint("send it there, if you trust that host").permanent());
                }
                headers = None;
            }
            url = next;
        }
        Err(Error::failed(format!("{shown}: more than {REDIRECTS} redirects")).permanent())
    }
}

fn address(call: &HttpCall) -> Result<Url> {
    let mut url = Url::parse(&call.url).map_err(|error| {
        let message = format!("`{}` is not an address: {error}", secrets::scheme(&call.url));
        Error::invalid(message).with_source(error).with_hint("write it as https://host/path")
    })?;
    for (name, value) in &call.query {
        match value {
            Value::Null => {}
            Value::Array(values) => values.iter().for_each(|value| add(&mut url, name, value)),
            value => add(&mut url, name, value),
        }
    }
    Ok(url)
}

fn add(url: &mut Url, name: &str, value: &Value) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    url.query_pairs_mut().append_pair(name, &text);
}

/// Statuses that name another address; 304 and 300 do not.
fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Returns the address without user, password and query, which may be secret.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// Returns whether a `Content-Type` denotes JSON: `application/json; charset=utf-8`, `application/ld+json`.
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

async fn read(response: &mut Response, request: &Request, most: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| request.failed(error))? {
        if body.len() + chunk.len() > most {
            let message = format!("{}: the body is larger than {most} bytes", request.shown);
            return Err(Error::failed(message).with_hint("raise `max_bytes`").permanent());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
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
