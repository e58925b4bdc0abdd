//! `http_request`: sends a request with any method to an allowed host.

use std::collections::BTreeMap;

use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, Tool};
use serde::Deserialize;
use serde_json::Value;

use super::http::{Body, BodyFormat, Http, HttpCall, four_mebibytes};
use crate::permission::Gate;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct HttpRequest {
    /// The method.
    method: Method,
    /// The address, beginning with http:// or https://.
    url: String,
    /// Parameters to append to the query of the address; a list appends each item.
    #[serde(default)]
    query: BTreeMap<String, Value>,
    /// Request headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A JSON body.
    #[serde(default, deserialize_with = "super::json::given")]
    json: Option<Value>,
    /// A text body, sent as `text/plain` unless the headers set a `content-type`.
    body: Option<String>,
    /// Whether sending the request twice has the same effect as sending it once, so that it may be sent again if its
    /// delivery is unknown. The default is true, except for POST and PATCH without an `idempotency-key` header.
    idempotent: Option<bool>,
    /// How to read the response body: `auto` parses JSON if the server declares it.
    #[serde(default)]
    format: BodyFormat,
    /// The largest response body in bytes; more is an error. The default is 4 MiB.
    #[serde(default = "four_mebibytes")]
    max_bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Head,
    Options,
    Put,
    Delete,
    Post,
    Patch,
}

/// Returns the tool.
pub(crate) fn http_request(gate: &Gate) -> DynTool {
    let http = Http::new(gate);
    let send = move |request: HttpRequest, _: Context| {
        let http = http.clone();
        async move { http.send(request.call()?).await }
    };
    let description = "Sends an HTTP request with any method and a body of JSON or text. Gives { status, headers, body }; a \
                       status of 400 and above is an error.";
    Tool::new("http_request", description, send).security(Privilege::Privileged).erase()
}

impl HttpRequest {
    fn call(self) -> Result<HttpCall> {
        let body = match (self.json, self.body) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("`json` and `body` exclude each other").with_hint("leave one of them out"));
            }
            (Some(json), None) => Some(Body { bytes: json.to_string().into_bytes(), content_type: "application/json" }),
            (None, Some(text)) => Some(Body { bytes: text.into_bytes(), content_type: "text/plain; charset=utf-8" }),
            (None, None) => None,
        };
        let keyed = self.headers.keys().any(|name| name.eq_ignore_ascii_case("idempotency-key"));
        let once = matches!(self.method, Method::Post | Method::Patch);
        Ok(HttpCall {
            method: match self.method {
                Method::Get => reqwest::Method::GET,
                Method::Head => reqwest::Method::HEAD,
                Method::Options => reqwest::Method::OPTIONS,
                Method::Put => reqwest::Method::PUT,
                Method::Delete => reqwest::Method::DELETE,
                Method::Post => reqwest::Method::POST,
                Method::Patch => reqwest::Method::PATCH,
            },
            url: self.url,
            query: self.query,
            headers: self.headers,
            body,
            format: self.format,
            max_bytes: self.max_bytes,
            repeatable: self.idempotent.unwrap_or(!once || keyed),
        })
    }
}
