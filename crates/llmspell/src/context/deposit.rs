//! Deposits into retry budgets: one for each logical call.

use super::Context;
use super::node::NodeKind;
use crate::control::retry_budget::RetryBudget;

impl Context {
    /// Deposits the share of a call into `budget` and returns the context of that call.
    ///
    /// `None` if an enclosing call has already deposited: this is another attempt, a second copy, or an inner
    /// call of it.
    pub(crate) fn deposit_into(&self, budget: &RetryBudget) -> Option<Context> {
        // Each stream item is a call of its own, so the search ends there.
        let has_deposited = self
            .chain()
            .take_while(|node| !matches!(&node.kind, NodeKind::Scope(scope) if scope.item.is_some()))
            .any(|node| matches!(&node.kind, NodeKind::Deposit(present) if present.is_same(budget)));
        (!has_deposited).then(|| {
            budget.deposit();
            self.child(NodeKind::Deposit(budget.clone()))
        })
    }
}
