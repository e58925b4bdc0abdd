//! Callers, holds and stored contexts in any order: the permits in use match the running work, and no call sees
//! the data of another.

use std::pin::pin;
use std::task::{self, Poll, Waker};

use proptest::prelude::*;

use super::{Context, LeasedContext, PermitHold};
use crate::control::limit::Limit;

#[derive(Clone, Debug)]
enum Action {
    Call,
    Hold(usize),
    /// Stores the context of a call, in which no other call may ever be visible.
    Store(usize),
    HoldStored(usize),
    Return(usize),
    Release(usize),
    Forget(usize),
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Call),
        2 => any::<usize>().prop_map(Action::Hold),
        2 => any::<usize>().prop_map(Action::Store),
        1 => any::<usize>().prop_map(Action::HoldStored),
        3 => any::<usize>().prop_map(Action::Return),
        2 => any::<usize>().prop_map(Action::Release),
        1 => any::<usize>().prop_map(Action::Forget),
    ]
}

struct Model<'a> {
    limit: &'a Limit,
    root: Context,
    callers: Vec<(usize, LeasedContext<'a>)>,
    holds: Vec<(usize, PermitHold)>,
    stored: Vec<(usize, Context)>,
    calls: usize,
}

impl Model<'_> {
    fn is_called(&self, call: usize) -> bool {
        self.callers.iter().any(|(caller, _)| *caller == call)
    }

    fn is_held(&self, call: usize) -> bool {
        self.holds.iter().any(|(held, _)| *held == call)
    }

    fn apply(&mut self, action: Action) {
        let some = |number: usize, of: usize| (of > 0).then(|| number % of);
        match action {
            Action::Call => {
                let cx = self.root.scope(Some(self.calls));
                let polled = pin!(self.limit.admit(&cx)).poll(&mut task::Context::from_waker(Waker::noop()));
                if let Poll::Ready(admitted) = polled {
                    let leased = admitted.expect("no permit above").expect("there is a limit");
                    self.callers.push((self.calls, leased));
                }
                self.calls += 1;
            }
            Action::Hold(number) => {
                if let Some(index) = some(number, self.callers.len()) {
                    let (call, leased) = &self.callers[index];
                    self.holds.push((*call, leased.hold()));
                }
            }
            Action::Store(number) => {
                if let Some(index) = some(number, self.callers.len()) {
                    let (call, leased) = &self.callers[index];
                    self.stored.push((*call, Context::clone(leased)));
                }
            }
            Action::HoldStored(number) => {
                if let Some(index) = some(number, self.stored.len()) {
                    let (call, hold) = (self.stored[index].0, self.stored[index].1.hold());
                    // A returned permit cannot be held again.
                    if self.is_called(call) || self.is_held(call) {
                        self.holds.push((call, hold));
                    } else {
                        assert!(hold.leases.is_empty());
                    }
                }
            }
            Action::Return(number) => {
                if let Some(index) = some(number, self.callers.len()) {
                    drop(self.callers.swap_remove(index));
                }
            }
            Action::Release(number) => {
                if let Some(index) = some(number, self.holds.len()) {
                    drop(self.holds.swap_remove(index));
                }
            }
            Action::Forget(number) => {
                if let Some(index) = some(number, self.stored.len()) {
                    drop(self.stored.swap_remove(index));
                }
            }
        }
    }

    fn check(&self, (limit, overdraft): (usize, usize)) {
        let mut orphans: Vec<usize> = self.holds.iter().map(|(call, _)| *call).collect();
        orphans.sort_unstable();
        orphans.dedup();
        orphans.retain(|call| !self.is_called(*call));
        let load = self.limit.load().expect("there is a limit");
        let in_use = self.callers.len() + orphans.len();
        assert_eq!((load.in_use, load.orphaned, load.waiting), (in_use, orphans.len(), 0));
        assert!(in_use <= limit + overdraft.min(orphans.len()));
        for (call, cx) in &self.stored {
            assert_eq!(cx.item(), Some(*call), "a stored context shows another call");
        }
        for (call, leased) in &self.callers {
            assert_eq!(leased.item(), Some(*call));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn permit_is_in_use_while_it_has_a_holder(
        limit in 1..5usize,
        overdraft in 0..3usize,
        actions in prop::collection::vec(actions(), 0..120),
    ) {
        let shared = Limit::new(limit).overdraft(overdraft);
        let (root, callers, holds, stored) = (Context::new(), vec![], vec![], vec![]);
        let mut model = Model { limit: &shared, root, callers, holds, stored, calls: 0 };
        for action in actions {
            model.apply(action);
            model.check((limit, overdraft));
        }
        drop(model);
        let load = shared.load().expect("there is a limit");
        prop_assert_eq!((load.in_use, load.orphaned, load.available), (0, 0, limit));
    }
}

/// The node of one call is reused by the next, and keeps nothing of the first alive meanwhile.
#[test]
fn reused_node_keeps_nothing_alive() {
    let limit = Limit::new(1);
    let mut task = task::Context::from_waker(Waker::noop());
    let mut node_of_call = |item: usize| {
        let cx = Context::new().scope(Some(item));
        let scope = std::sync::Arc::downgrade(cx.node.as_ref().expect("a scope has a node"));
        let Poll::Ready(Ok(Some(leased))) = pin!(limit.admit(&cx)).poll(&mut task) else { panic!("not admitted") };
        assert_eq!(leased.item(), Some(item));
        let node = leased.node.as_ref().map(std::sync::Arc::as_ptr);
        drop((leased, cx));
        assert_eq!(scope.strong_count(), 0, "a spare node keeps the previous call alive");
        node
    };
    assert_eq!(node_of_call(1), node_of_call(2));
}
