//! Deposits into retry budgets: one for each logical call.
//!
//! Flow control implements [`RetryDeposit`]; this module must not know its balance.

use std::sync::Arc;

use super::Context;
use super::node::NodeKind;

/// A bucket that each logical call deposits its share into, once. Its address identifies it.
pub(crate) trait RetryDeposit: Send + Sync + 'static {
    /// Deposits the share of one call.
    fn deposit(&self);
}

impl Context {
    /// Deposits the share of a call into `bucket` and returns the context of that call.
    ///
    /// `None` if an enclosing call has already deposited: this is another attempt, a second copy, or an inner
    /// call of it.
    pub(crate) fn deposit_into<B: RetryDeposit>(&self, bucket: &Arc<B>) -> Option<Context> {
        let address = Arc::as_ptr(bucket).addr();
        // Each stream item is a call of its own, so the search ends there.
        let has_deposited = self
            .chain()
            .take_while(|node| !matches!(&node.kind, NodeKind::Scope(scope) if scope.item.is_some()))
            .any(|node| matches!(&node.kind, NodeKind::Deposit(present) if Arc::as_ptr(present).addr() == address));
        (!has_deposited).then(|| {
            bucket.deposit();
            self.child(NodeKind::Deposit(bucket.clone()))
        })
    }
}
