//! Which budgets a call has put its share into.

use super::Context;
use super::node::Facet;
use crate::control::retry_budget::RetryBudget;

impl Context {
    /// Puts the share of a call into `budget` and gives the context to go on under; `None` if this is part of
    /// a call that has done so: another attempt of it, a second copy, or a call inside of it.
    pub(crate) fn paid_into(&self, budget: &RetryBudget) -> Option<Context> {
        // An item of a stream is a call of its own: the search ends there.
        let has_paid = self
            .chain()
            .take_while(|node| !matches!(&node.facet, Facet::Scope(scope) if scope.item.is_some()))
            .any(|node| matches!(&node.facet, Facet::Deposit(known) if known.is_same(budget)));
        (!has_paid).then(|| {
            budget.deposit();
            self.child(Facet::Deposit(budget.clone()))
        })
    }
}
