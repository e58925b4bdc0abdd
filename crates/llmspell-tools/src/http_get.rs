//! `http_get`: one GET request to a host that is allowed.

use std::collections::BTreeMap;

use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Tool};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::http::{Call, Format, Http, four_mebibytes};
use crate::permission::Gate;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct HttpGet {
    /// The address, beginning with http:// or https://.
    url: String,
    /// What is added to the query of the address; of a list, each item.
    #[serde(default)]
    query: BTreeMap<String, Value>,
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

/// The tool.
pub(crate) fn http_get(gate: &Gate) -> DynTool {
    let http = Http::new(gate);
    let get = move |get: HttpGet, _: Context| {
        let http = http.clone();
        let HttpGet { url, query, headers, format, max_bytes } = get;
        let call = Call { method: Method::GET, url, query, headers, body: None, format, max_bytes, repeatable: true };
        async move { http.send(call).await }
    };
    let description = "Fetches a page or a document by HTTP. Gives { status, headers, body }; a status of 400 and above is \
                       an error.";
    Tool::new("http_get", description, get).security(Privilege::Restricted).erase()
}
