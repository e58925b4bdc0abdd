//! An extension in another process: an MCP server, whose tools join the registry like those of our own.
//!
//! So that nothing needs to be installed, the server is this very program, started once more with `serve`. For any other
//! server, name its program in [`connect`].

use llmspell::schemars::JsonSchema;
use llmspell::tool::{ErasedTool, Security};
use llmspell::{Context, Error, Extension, Registry, Result, Tool};
use llmspell_mcp::{Client, Server};
use serde::Deserialize;
use serde_json::json;

/// What begins the names of the server's tools on our side.
const PREFIX: &str = "shop_";

/// The tools of a server that has been connected to.
pub struct Shop {
    client: Client,
    tools: Vec<ErasedTool>,
}

/// Starts the server, and asks what it offers. It ends when the last of its tools is dropped.
pub async fn connect(cx: &Context) -> Result<Shop> {
    let client = Client::stdio(std::env::current_exe()?).arg("serve").prefix(PREFIX).connect(cx).await?;
    let tools = client.tools(cx).await?;
    Ok(Shop { client, tools })
}

impl Shop {
    pub fn client(&self) -> Client {
        self.client.clone()
    }
}

impl Extension for Shop {
    fn name(&self) -> &str {
        "shop"
    }

    fn register(self, registry: &mut Registry) -> Result<()> {
        self.tools.into_iter().try_for_each(|tool| registry.tool(tool))
    }
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Goods {
    what: String,
    grams: f64,
}

/// The other side: any tool of ours, for whoever speaks MCP.
pub async fn serve() -> Result<()> {
    let price = Tool::new("price", "What so much of something costs, in cents.", |goods: Goods, _| async move {
        let kilo = match goods.what.as_str() {
            "flour" => 90.0,
            "sugar" => 120.0,
            other => return Err(Error::invalid(format!("we have no {other}")).with_hint("we have flour and sugar")),
        };
        Ok(json!({ "cents": (kilo * goods.grams / 1_000.0_f64).ceil(), "process": std::process::id() }))
    });
    // Restricted: it only looks things up. Clients are told so.
    let server = Server::new("shop", "1.0").tool(price.security(Security::Restricted).erase());
    server.stdio(std::future::pending()).await
}
