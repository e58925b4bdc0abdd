//! Which calls of a turn may run now, and which wait for others.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde_json::Value;

use crate::tool::CallConcurrency;

/// The calls of one turn that are still to be run, in the order in which the model made them.
///
/// A call waits for those before it that it must not run next to. So calls that are in each other's way run in
/// the model's order, and no call overtakes one that it waits for.
///
/// An exclusive call parts the turn: all before it have ended when it begins, and all behind it begin when it has
/// ended. So the turn is a line of parts, and only in the first of them may anything run.
#[derive(Debug, Default)]
pub(super) struct CallSchedule {
    parts: VecDeque<Batch>,
    running: usize,
}

/// Calls that only wait for others with the same key, or one exclusive call.
#[derive(Debug, Default)]
struct Batch {
    is_exclusive: bool,
    /// The calls that may begin, by their places in the turn.
    ready: BTreeSet<usize>,
    /// Those that wait for one with the same key, which is ready or runs.
    waiting: HashMap<Key, VecDeque<usize>>,
    /// The key of each call that has one and has not ended.
    keys: HashMap<usize, Key>,
    /// How many have not ended.
    left: usize,
}

/// A tool, and the JSON of the argument that its calls are keyed by.
type Key = (String, String);

impl Batch {
    fn add(&mut self, place: usize, key: Option<Key>) {
        self.left += 1;
        let Some(key) = key else {
            self.ready.insert(place);
            return;
        };
        match self.waiting.get_mut(&key) {
            Some(line) => line.push_back(place),
            None => {
                self.waiting.insert(key.clone(), VecDeque::new());
                self.ready.insert(place);
            }
        }
        self.keys.insert(place, key);
    }

    fn end(&mut self, place: usize) {
        self.left -= 1;
        let Some(key) = self.keys.remove(&place) else { return };
        match self.waiting.get_mut(&key).and_then(VecDeque::pop_front) {
            Some(next) => drop(self.ready.insert(next)),
            None => drop(self.waiting.remove(&key)),
        }
    }
}

impl CallSchedule {
    /// Adds the call at `place`, after those before it.
    pub(super) fn add(&mut self, place: usize, tool: &str, concurrency: &CallConcurrency, arguments: &Value) {
        let is_exclusive = *concurrency == CallConcurrency::Exclusive;
        if is_exclusive || self.parts.back().is_none_or(|last| last.is_exclusive) {
            self.parts.push_back(Batch { is_exclusive, ..Batch::default() });
        }
        let key = match concurrency {
            CallConcurrency::Keyed(argument) => {
                let value = arguments.get(argument).map(Value::to_string).unwrap_or_default();
                Some((tool.to_owned(), value))
            }
            _ => None,
        };
        if let Some(last) = self.parts.back_mut() {
            last.add(place, key);
        }
    }

    /// Takes the first call that may run now; it counts as running from here on.
    pub(super) fn start_one(&mut self) -> Option<usize> {
        let place = self.parts.front_mut()?.ready.pop_first()?;
        self.running += 1;
        Some(place)
    }

    /// The call at `place`, which ran, has ended.
    pub(super) fn end(&mut self, place: usize) {
        self.running -= 1;
        if let Some(first) = self.parts.front_mut() {
            first.end(place);
            if first.left == 0 {
                self.parts.pop_front();
            }
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(calls: &[(&str, CallConcurrency, Value)]) -> CallSchedule {
        let mut plan = CallSchedule::default();
        for (place, (tool, concurrency, arguments)) in calls.iter().enumerate() {
            plan.add(place, tool, concurrency, arguments);
        }
        plan
    }

    fn startable(plan: &mut CallSchedule) -> Vec<usize> {
        std::iter::from_fn(|| plan.start_one()).collect()
    }

    #[test]
    fn an_exclusive_call_waits_for_those_before_it_and_holds_those_behind_it() {
        let reads = || ("read", CallConcurrency::Parallel, json!({}));
        let mut plan = plan(&[reads(), reads(), ("write", CallConcurrency::Exclusive, json!({})), reads()]);
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
        let edit = |path: &str| ("edit", CallConcurrency::Keyed("path".into()), json!({ "path": path }));
        let mut plan = plan(&[edit("a"), edit("a"), edit("b"), edit("a")]);
        assert_eq!(startable(&mut plan), [0, 2]);
        plan.end(0);
        assert_eq!(startable(&mut plan), [1]);
        plan.end(2);
        assert_eq!(startable(&mut plan), [0; 0]);
        plan.end(1);
        assert_eq!(startable(&mut plan), [3]);
    }

    #[test]
    fn calls_without_the_argument_share_a_key_and_tools_do_not() {
        let keyed = |tool| (tool, CallConcurrency::Keyed("path".into()), json!({}));
        let mut plan = plan(&[keyed("edit"), keyed("edit"), keyed("move")]);
        assert_eq!(startable(&mut plan), [0, 2]);
    }
}
