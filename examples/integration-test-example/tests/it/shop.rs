//! A shop for tests: it answers at once, and any part of it can be replaced by a step that does not.

use integration_test_example::{Lookup, Refund, Shop};
use llmspell::{Step, step};
use serde_json::json;

pub(crate) fn shop() -> Shop {
    Shop {
        orders: step(|look: Lookup, _| async move { Ok(json!({ "order": look.order, "paid": 4_200 })) }).boxed(),
        refunds: step(|refund: Refund, _| async move { Ok(json!({ "refunded": refund.amount })) }).boxed(),
    }
}
