//! Callers, holds and stored contexts in any order: who is alive counts, and nobody sees another one's data.

use std::pin::pin;
use std::task::{self, Poll, Waker};

use proptest::prelude::*;

use super::{Context, LeasedContext, PermitHold};
use crate::control::limit::Limit;

#[derive(Clone, Debug)]
enum Act {
    Call,
    PermitHold(usize),
    /// Keeps the context of a call, in which nobody must ever see another call.
    Store(usize),
    HoldStored(usize),
    Return(usize),
    LetGo(usize),
    Forget(usize),
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Call),
        2 => any::<usize>().prop_map(Act::PermitHold),
        2 => any::<usize>().prop_map(Act::Store),
        1 => any::<usize>().prop_map(Act::HoldStored),
        3 => any::<usize>().prop_map(Act::Return),
        2 => any::<usize>().prop_map(Act::LetGo),
        1 => any::<usize>().prop_map(Act::Forget),
    ]
}

struct World<'a> {
    limit: &'a Limit,
    root: Context,
    callers: Vec<(usize, LeasedContext<'a>)>,
    holds: Vec<(usize, PermitHold)>,
    stored: Vec<(usize, Context)>,
    calls: usize,
}

impl World<'_> {
    fn is_called(&self, call: usize) -> bool {
        self.callers.iter().any(|(caller, _)| *caller == call)
    }

    fn is_held(&self, call: usize) -> bool {
        self.holds.iter().any(|(held, _)| *held == call)
    }

    fn act(&mut self, act: Act) {
        let some = |number: usize, of: usize| (of > 0).then(|| number % of);
        match act {
            Act::Call => {
                let cx = self.root.scope(Some(self.calls));
                let polled = pin!(self.limit.admit(&cx)).poll(&mut task::Context::from_waker(Waker::noop()));
                if let Poll::Ready(admitted) = polled {
                    let leased = admitted.expect("no permit above").expect("there is a limit");
                    self.callers.push((self.calls, leased));
                }
                self.calls += 1;
            }
            Act::PermitHold(number) => {
                if let Some(place) = some(number, self.callers.len()) {
                    let (call, leased) = &self.callers[place];
                    self.holds.push((*call, leased.hold()));
                }
            }
            Act::Store(number) => {
                if let Some(place) = some(number, self.callers.len()) {
                    let (call, leased) = &self.callers[place];
                    self.stored.push((*call, Context::clone(leased)));
                }
            }
            Act::HoldStored(number) => {
                if let Some(place) = some(number, self.stored.len()) {
                    let (call, hold) = (self.stored[place].0, self.stored[place].1.hold());
                    // What has been given back cannot be held any more.
                    if self.is_called(call) || self.is_held(call) {
                        self.holds.push((call, hold));
                    } else {
                        assert!(hold._held.is_empty());
                    }
                }
            }
            Act::Return(number) => {
                if let Some(place) = some(number, self.callers.len()) {
                    drop(self.callers.swap_remove(place));
                }
            }
            Act::LetGo(number) => {
                if let Some(place) = some(number, self.holds.len()) {
                    drop(self.holds.swap_remove(place));
                }
            }
            Act::Forget(number) => {
                if let Some(place) = some(number, self.stored.len()) {
                    drop(self.stored.swap_remove(place));
                }
            }
        }
    }

    fn check(&self, (limit, overdraft): (usize, usize)) {
        let mut orphaned: Vec<usize> = self.holds.iter().map(|(call, _)| *call).collect();
        orphaned.sort_unstable();
        orphaned.dedup();
        orphaned.retain(|call| !self.is_called(*call));
        let load = self.limit.load().expect("there is a limit");
        let in_use = self.callers.len() + orphaned.len();
        assert_eq!((load.in_use, load.orphaned, load.waiting), (in_use, orphaned.len(), 0));
        assert!(in_use <= limit + overdraft.min(orphaned.len()));
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
    fn a_permit_is_in_use_as_long_as_anybody_keeps_it(
        limit in 1..5usize,
        overdraft in 0..3usize,
        acts in prop::collection::vec(acts(), 0..120),
    ) {
        let shared = Limit::new(limit).overdraft(overdraft);
        let (root, callers, holds, stored) = (Context::new(), vec![], vec![], vec![]);
        let mut world = World { limit: &shared, root, callers, holds, stored, calls: 0 };
        for act in acts {
            world.act(act);
            world.check((limit, overdraft));
        }
        drop(world);
        let load = shared.load().expect("there is a limit");
        prop_assert_eq!((load.in_use, load.orphaned, load.available), (0, 0, limit));
    }
}

/// The node of the last call serves the next one, and remembers nothing of it meanwhile.
#[test]
fn a_node_is_used_again_and_keeps_nothing_alive() {
    let limit = Limit::new(1);
    let mut task = task::Context::from_waker(Waker::noop());
    let mut node_of_call = |item: usize| {
        let cx = Context::new().scope(Some(item));
        let scope = std::sync::Arc::downgrade(cx.node.as_ref().expect("a scope has a node"));
        let Poll::Ready(Ok(Some(leased))) = pin!(limit.admit(&cx)).poll(&mut task) else { panic!("not admitted") };
        assert_eq!(leased.item(), Some(item));
        let node = leased.node.as_ref().map(std::sync::Arc::as_ptr);
        drop((leased, cx));
        assert_eq!(scope.strong_count(), 0, "the node that waits for its next call keeps the last one alive");
        node
    };
    assert_eq!(node_of_call(1), node_of_call(2));
}
