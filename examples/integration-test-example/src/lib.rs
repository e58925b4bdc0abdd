//! The subject of the tests: a help desk, which looks up orders and refunds them.
//!
//! Two things make it easy to test. The model is handed in, so a test can bring one that is scripted. And whatever the
//! tools talk to is handed in as a step, so a test can bring one that is slow, fails, hangs or panics.

use std::time::Duration;

use llmspell::model::{Model, Reply, Request};
use llmspell::schemars::JsonSchema;
use llmspell::step::BoxStep;
use llmspell::tool::Privilege;
use llmspell::{Agent, Result, Retry, Step, Tool};
use serde::Deserialize;
use serde_json::Value;

/// The longest that one request to the model, and one to the shop, may take.
pub const MODEL_TIMEOUT: Duration = Duration::from_secs(30);
pub const SHOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that a customer waits.
pub const DEADLINE: Duration = Duration::from_secs(120);

#[derive(Clone, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
pub struct Lookup {
    /// The number of the order, such as `A-17`.
    pub order: String,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
pub struct Refund {
    /// The number of the order, such as `A-17`.
    pub order: String,
    /// In cents.
    pub amount: u64,
}

/// The other side of the tools.
pub struct Shop {
    pub orders: BoxStep<Lookup, Value>,
    pub refunds: BoxStep<Refund, Value>,
}

/// A model as the desk asks it: so long, so often, and not sooner than a server wants.
pub fn patient(model: impl Model) -> impl Step<In = Request, Out = Reply> {
    model.step().timeout(MODEL_TIMEOUT).retry(Retry::exponential().max_attempts(3).after_output())
}

/// The desk.
pub fn desk(model: impl Model, shop: Shop) -> Result<Agent> {
    let look_up = shop.orders.timeout(SHOP_TIMEOUT).retry(Retry::exponential().max_attempts(2));
    let pay_back = shop.refunds.timeout(SHOP_TIMEOUT); // without retries, so that no refund is paid twice
    Agent::of(patient(model))
        .system("You are the help desk of a shop. Look an order up before you refund it.")
        .tool(Tool::of("order", "Looks an order up.", look_up).security(Privilege::Restricted))
        .tool(Tool::of("refund", "Pays an order back.", pay_back).security(Privilege::Privileged).keyed("order"))
        .max_turns(8)
        .deadline(DEADLINE)
        .build()
}
