//! Flow control: how many calls run at once, how often they start, how much they may cost, and when to stop calling.
//!
//! Each module owns one mechanism and the adapter that puts it around a step. `policy` applies them together in the
//! canonical order. Flow control must not know agents or models.

pub(crate) mod breaker;
pub(crate) mod budget;
pub(crate) mod ewma;
pub(crate) mod limit;
pub(crate) mod policy;
pub(crate) mod rate;
pub(crate) mod retry_budget;

pub use breaker::{Breaker, BreakerBuilder};
pub use budget::{Budget, BudgetBuilder};
pub use limit::{Adaptive, Limit};
pub use policy::Policy;
pub use rate::{Rate, RateBuilder};
pub use retry_budget::{RetryBudget, RetryBudgetBuilder};
