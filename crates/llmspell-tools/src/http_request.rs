//! `http_request`: a request with any method, to a host that is allowed.

use std::collections::BTreeMap;

use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, Tool};
use serde::Deserialize;
use serde_json::Value;

use super::http::{Body, Call, Format, Http, four_mebibytes};
use crate::permission::Gate;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct HttpRequest {
    /// The method.
    method: Method,
    /// The address, beginning with http:// or https://.
    url: String,
    /// What is added to the query of the address; of a list, each item.
    #[serde(default)]
    query: BTreeMap<String, Value>,
    /// Request headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A body of JSON.
    #[serde(default, deserialize_with = "super::json::given")]
    json: Option<Value>,
    /// A body of text, as `text/plain` unless the headers have a `content-type`.
    body: Option<String>,
    /// Whether sending it twice does no more than sending it once, so that it may be sent again when nobody knows
    /// whether it has arrived. By default, of all methods but POST and PATCH, and of those with a header
    /// `idempotency-key`.
    idempotent: Option<bool>,
    /// How the body of the answer is read: `auto` takes it for JSON if the server says so.
    #[serde(default)]
    format: Format,
    /// A larger answer is an error. The default is 4 MiB.
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

/// The tool.
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
    fn call(self) -> Result<Call> {
        let body = match (self.json, self.body) {
            (Some(_), Some(_)) => {
                return Err(
                    Error::invalid("`json` and `body` both say what is sent").with_hint("leave one of them out")
                );
            }
            (Some(json), None) => Some(Body { bytes: json.to_string().into_bytes(), content_type: "application/json" }),
            (None, Some(text)) => Some(Body { bytes: text.into_bytes(), content_type: "text/plain; charset=utf-8" }),
            (None, None) => None,
        };
        let keyed = self.headers.keys().any(|name| name.eq_ignore_ascii_case("idempotency-key"));
        let once = matches!(self.method, Method::Post | Method::Patch);
        Ok(Call {
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
