//! An extension in another process: an MCP server, whose tools join the registry like those of our own
//! (`Client::extension`).
//!
//! So that nothing needs to be installed, the server is this very program, started once more with `serve`. For any other
//! server, name its program in [`connect`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::schemars::JsonSchema;
use llmspell::tool::Privilege;
use llmspell::{Context, Error, Result, Tool};
use llmspell_mcp::{Client, Server};
use serde::Deserialize;
use serde_json::json;

/// The prefix of the server's tools on the client side.
const PREFIX: &str = "shop_";

/// Starts the server. It ends when the last of its tools is dropped.
pub async fn connect(cx: &Context) -> Result<Client> {
    Client::stdio(std::env::current_exe()?).arg("serve").prefix(PREFIX).connect(cx).await
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Goods {
    what: String,
    grams: f64,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Nothing {}

/// The server side: serves tools over MCP, and announces their privileges to clients.
pub async fn serve() -> Result<()> {
    let price = Tool::new("price", "The price of an amount of goods, in cents.", |goods: Goods, _| async move {
        let kilo = match goods.what.as_str() {
            "flour" => 90.0,
            "sugar" => 120.0,
            other => return Err(Error::invalid(format!("we have no {other}")).with_hint("we have flour and sugar")),
        };
        let cents = (kilo * goods.grams / 1_000.0_f64).ceil() as u64;
        Ok(json!({ "cents": cents, "process": std::process::id() }))
    });
    let deliver = Tool::new("deliver", "Brings it to your door, in a minute.", |goods: Goods, _| async move {
        let _on_its_way = OnItsWay::begin();
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(goods.what)
    });
    let on_their_way = Tool::new("on_their_way", "How many deliveries are on their way.", |_: Nothing, _| async {
        Ok(json!({ "deliveries": OnItsWay::count() }))
    });
    let server = Server::new("shop", "1.0")
        .tool(price.security(Privilege::Restricted).erase())
        .tool(on_their_way.security(Privilege::Restricted).erase())
        .tool(deliver.security(Privilege::Privileged).erase());
    server.stdio(std::future::pending()).await
}

static ON_THEIR_WAY: AtomicUsize = AtomicUsize::new(0);

/// A delivery; whatever ends it, it counts no more.
struct OnItsWay;

impl OnItsWay {
    fn begin() -> Self {
        ON_THEIR_WAY.fetch_add(1, Ordering::SeqCst);
        OnItsWay
    }

    fn count() -> usize {
        ON_THEIR_WAY.load(Ordering::SeqCst)
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        ON_THEIR_WAY.fetch_sub(1, Ordering::SeqCst);
    }
}
