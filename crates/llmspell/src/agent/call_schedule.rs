//! The order of one turn's tool calls: which may start now, and which wait for others.
//!
//! The schedule only decides. It neither runs calls nor knows their results.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde_json::Value;

use crate::tool::CallConcurrency;

/// The unfinished calls of one turn, in the order in which the model made them.
///
/// A call waits for all earlier calls that it must not run next to. So conflicting calls run in the model's order, and
/// no call overtakes one that it waits for.
///
/// An exclusive call divides the turn: it starts when all earlier calls have finished, and later calls start when it
/// has finished. So the turn is a queue of batches, and only calls of the first batch may run.
#[derive(Debug, Default)]
pub(super) struct CallSchedule {
    batches: VecDeque<Batch>,
    running: usize,
}

/// Calls that wait only for calls with the same key, or one exclusive call.
#[derive(Debug, Default)]
struct Batch {
    is_exclusive: bool,
    /// The calls that may start, by index in the turn.
    ready: BTreeSet<usize>,
    /// The calls that wait for one with the same key, which is ready or running.
    waiting: HashMap<Key, VecDeque<usize>>,
    /// The key of each unfinished call that has one.
    keys: HashMap<usize, Key>,
    /// The number of unfinished calls.
    unfinished: usize,
}

/// A tool name, and the JSON of the argument that its calls are keyed by.
type Key = (String, String);

impl Batch {
    fn add(&mut self, index: usize, key: Option<Key>) {
        self.unfinished += 1;
        let Some(key) = key else {
            self.ready.insert(index);
            return;
        };
        match self.waiting.get_mut(&key) {
            Some(queue) => queue.push_back(index),
            None => {
                self.waiting.insert(key.clone(), VecDeque::new());
                self.ready.insert(index);
            }
        }
        self.keys.insert(index, key);
    }

    fn finish(&mut self, index: usize) {
        self.unfinished -= 1;
        let Some(key) = self.keys.remove(&index) else { return };
        match self.waiting.get_mut(&key).and_then(VecDeque::pop_front) {
            Some(next) => drop(self.ready.insert(next)),
            None => drop(self.waiting.remove(&key)),
        }
    }
}

impl CallSchedule {
    /// Adds the call at `index`. Calls are added in the order of their indices.
    pub(super) fn add(&mut self, index: usize, tool: &str, concurrency: &CallConcurrency, arguments: &Value) {
        let is_exclusive = *concurrency == CallConcurrency::Exclusive;
        if is_exclusive || self.batches.back().is_none_or(|last| last.is_exclusive) {
            self.batches.push_back(Batch { is_exclusive, ..Batch::default() });
        }
        let key = match concurrency {
            CallConcurrency::Keyed(argument) => {
                let value = arguments.get(argument).map(Value::to_string).unwrap_or_default();
                Some((tool.to_owned(), value))
            }
            _ => None,
        };
        if let Some(last) = self.batches.back_mut() {
            last.add(index, key);
        }
    }

    /// Returns the first call that may start now, and counts it as running.
    pub(super) fn start_one(&mut self) -> Option<usize> {
        let index = self.batches.front_mut()?.ready.pop_first()?;
        self.running += 1;
        Some(index)
    }

    /// Records that the running call at `index` has finished.
    pub(super) fn finish(&mut self, index: usize) {
        self.running -= 1;
        if let Some(first) = self.batches.front_mut() {
            first.finish(index);
            if first.unfinished == 0 {
                self.batches.pop_front();
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

    fn schedule(calls: &[(&str, CallConcurrency, Value)]) -> CallSchedule {
        let mut schedule = CallSchedule::default();
        for (index, (tool, concurrency, arguments)) in calls.iter().enumerate() {
            schedule.add(index, tool, concurrency, arguments);
        }
        schedule
    }

    fn startable(schedule: &mut CallSchedule) -> Vec<usize> {
        std::iter::from_fn(|| schedule.start_one()).collect()
    }

    #[test]
    fn exclusive_call_waits_for_earlier_calls_and_delays_later_ones() {
        let reads = || ("read", CallConcurrency::Parallel, json!({}));
        let mut schedule = schedule(&[reads(), reads(), ("write", CallConcurrency::Exclusive, json!({})), reads()]);
        assert_eq!(startable(&mut schedule), [0, 1]);
        schedule.finish(0);
        assert_eq!(startable(&mut schedule), [0; 0]);
        schedule.finish(1);
        assert_eq!(startable(&mut schedule), [2]);
        schedule.finish(2);
        assert_eq!(startable(&mut schedule), [3]);
    }

    #[test]
    fn calls_with_the_same_key_run_in_order_and_others_concurrently() {
        let edit = |path: &str| ("edit", CallConcurrency::Keyed("path".into()), json!({ "path": path }));
        let mut schedule = schedule(&[edit("a"), edit("a"), edit("b"), edit("a")]);
        assert_eq!(startable(&mut schedule), [0, 2]);
        schedule.finish(0);
        assert_eq!(startable(&mut schedule), [1]);
        schedule.finish(2);
        assert_eq!(startable(&mut schedule), [0; 0]);
        schedule.finish(1);
        assert_eq!(startable(&mut schedule), [3]);
    }

    #[test]
    fn calls_without_the_argument_share_a_key_within_a_tool_only() {
        let keyed = |tool| (tool, CallConcurrency::Keyed("path".into()), json!({}));
        let mut schedule = schedule(&[keyed("edit"), keyed("edit"), keyed("move")]);
        assert_eq!(startable(&mut schedule), [0, 2]);
    }
}
