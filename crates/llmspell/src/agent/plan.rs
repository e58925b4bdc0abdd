//! Which calls of a turn may run now, and which wait for others.

use std::collections::VecDeque;

use serde_json::Value;

use crate::tool::Concurrency;

/// The calls of one turn that are still to be run, in the order in which the model made them.
///
/// A call waits for those before it that it must not run next to. So calls that are in each other's way run in
/// the model's order, and no call overtakes one that it waits for.
#[derive(Debug, Default)]
pub(super) struct Plan {
    waiting: VecDeque<Planned>,
    running: Vec<Planned>,
}

/// One call: its place in the turn, and what it must not run next to.
#[derive(Debug)]
struct Planned {
    place: usize,
    lane: Lane,
}

#[derive(Clone, Debug, PartialEq)]
enum Lane {
    Parallel,
    Exclusive,
    /// A tool, and the value of the argument that its calls are keyed by.
    Keyed(String, Value),
}

impl Lane {
    fn of(tool: &str, concurrency: &Concurrency, arguments: &Value) -> Self {
        match concurrency {
            Concurrency::Parallel => Lane::Parallel,
            Concurrency::Exclusive => Lane::Exclusive,
            Concurrency::Keyed(argument) => {
                Lane::Keyed(tool.to_owned(), arguments.get(argument).cloned().unwrap_or_default())
            }
        }
    }

    fn conflicts(&self, other: &Lane) -> bool {
        match (self, other) {
            (Lane::Exclusive, _) | (_, Lane::Exclusive) => true,
            (Lane::Keyed(..), Lane::Keyed(..)) => self == other,
            _ => false,
        }
    }
}

impl Plan {
    /// Adds the call at `place`, after those before it.
    pub(super) fn add(&mut self, place: usize, tool: &str, concurrency: &Concurrency, arguments: &Value) {
        self.waiting.push_back(Planned { place, lane: Lane::of(tool, concurrency, arguments) });
    }

    /// Takes the first call that may run now; it counts as running from here on.
    pub(super) fn start_one(&mut self) -> Option<usize> {
        let is_free = |at: &usize| {
            let lane = &self.waiting[*at].lane;
            let before = self.waiting.iter().take(*at);
            !before.chain(&self.running).any(|other| other.lane.conflicts(lane))
        };
        let next = (0..self.waiting.len()).find(is_free)?;
        let call = self.waiting.remove(next)?;
        let place = call.place;
        self.running.push(call);
        Some(place)
    }

    /// The call at `place` has ended.
    pub(super) fn end(&mut self, place: usize) {
        self.running.retain(|call| call.place != place);
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(calls: &[(&str, Concurrency, Value)]) -> Plan {
        let mut plan = Plan::default();
        for (place, (tool, concurrency, arguments)) in calls.iter().enumerate() {
            plan.add(place, tool, concurrency, arguments);
        }
        plan
    }

    fn startable(plan: &mut Plan) -> Vec<usize> {
        std::iter::from_fn(|| plan.start_one()).collect()
    }

    #[test]
    fn an_exclusive_call_waits_for_those_before_it_and_holds_those_behind_it() {
        let reads = || ("read", Concurrency::Parallel, json!({}));
        let mut plan = plan(&[reads(), reads(), ("write", Concurrency::Exclusive, json!({})), reads()]);
        assert_eq!(startable(&mut plan), [0, 1]);
        plan.end(0);
        assert_eq!(startable(&mut plan), [0; 0]);
        plan.end(1);
        assert_eq!(startable(&mut plan), [2]);
        plan.end(2);
        assert_eq!(startable(&mut plan), [3]);
    }

    #[test]
    fn calls_with_one_key_run_in_order_and_others_next_to_them() {
        let edit = |path: &str| ("edit", Concurrency::Keyed("path".into()), json!({ "path": path }));
        let mut plan = plan(&[edit("a"), edit("a"), edit("b"), edit("a")]);
        assert_eq!(startable(&mut plan), [0, 2]);
        plan.end(0);
        assert_eq!(startable(&mut plan), [1]);
        plan.end(2);
        assert_eq!(startable(&mut plan), [0; 0]);
        plan.end(1);
        assert_eq!(startable(&mut plan), [3]);
    }
}
