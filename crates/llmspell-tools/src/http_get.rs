//! `http_get`: sends a GET request to an allowed host.

use std::collections::BTreeMap;

use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Tool};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::http::{BodyFormat, Http, HttpCall, four_mebibytes};
use crate::permission::Gate;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct HttpGet {
    /// The address, beginning with http:// or https://.
    url: String,
    /// Parameters to append to the query of the address; a list appends each item.
    #[serde(default)]
    query: BTreeMap<String, Value>,
    /// Request headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// How to read the body: `auto` parses JSON if the server declares it.
    #[serde(default)]
    format: BodyFormat,
    /// The largest body in bytes; more is an error. The default is 4 MiB.
    #[serde(default = "four_mebibytes")]
    max_bytes: usize,
}

/// Returns the tool.
pub(crate) fn http_get(gate: &Gate) -> DynTool {
    let http = Http::new(gate);
    let get = move |get: HttpGet, _: Context| {
        let http = http.clone();
        let HttpGet { url, query, headers, format, max_bytes } = get;
        let call =
            HttpCall { method: Method::GET, url, query, headers, body: None, format, max_bytes, repeatable: true };
        async move { http.send(call).await }
    };
    let description = "Fetches a page or a document by HTTP. Gives { status, headers, body }; a status of 400 and above is \
                       an error.";
    Tool::new("http_get", description, get).security(Privilege::Restricted).erase()
}
