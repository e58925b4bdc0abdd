//! Flow control: how many calls run at once, how often they start, how much they may cost, and when to stop calling.
//!
//! Each module owns one mechanism and the adapter that puts it around a step. A [`Policy`](crate::Policy) applies them
//! together in the canonical order. Flow control must not know patterns, agents or models.

pub(crate) mod breaker;
pub(crate) mod budget;
pub(crate) mod ewma;
pub(crate) mod limit;
pub(crate) mod rate;
pub(crate) mod retry_budget;

pub use breaker::{Breaker, BreakerBuilder};
pub use budget::{Budget, BudgetBuilder};
pub use limit::{Adaptive, Limit};
pub use rate::{Rate, RateBuilder};
pub use retry_budget::{RetryBudget, RetryBudgetBuilder};
