//! The algorithms under random calls: the limit stays within its bounds, and never gets stuck.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::aimd::Aimd;
use super::gradient::Gradient;
use super::{Bounds, CallStart, Overload};
use crate::observe::event::LimitChange;

#[derive(Clone, Debug)]
enum Action {
    Begin,
    Succeed(usize, u64),
    Reject(usize, Option<u64>),
    TimeOut(usize),
    Drop(usize),
    Wait(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        8 => Just(Action::Begin),
        6 => (any::<usize>(), 1..1000_u64).prop_map(|(call, first)| Action::Succeed(call, first)),
        1 => (any::<usize>(), prop::option::of(1..1000_u64)).prop_map(|(call, wait)| Action::Reject(call, wait)),
        1 => any::<usize>().prop_map(Action::TimeOut),
        1 => any::<usize>().prop_map(Action::Drop),
        1 => (1..1000_u64).prop_map(Action::Wait),
    ];
    prop::collection::vec(action, 0..400)
}

/// Either algorithm, and the running calls.
struct Model {
    algorithm: Algorithm,
    bounds: Bounds,
    now: Instant,
    running: Vec<CallStart>,
}

enum Algorithm {
    Aimd(Aimd),
    Gradient(Gradient),
}

impl Model {
    fn new(latency_counts: bool, bounds: Bounds) -> Self {
        let algorithm = if latency_counts {
            Algorithm::Gradient(Gradient::new(bounds, 1.5))
        } else {
            Algorithm::Aimd(Aimd::new(bounds))
        };
        Model { algorithm, bounds, now: Instant::now(), running: Vec::new() }
    }

    fn aimd(&self) -> &Aimd {
        match &self.algorithm {
            Algorithm::Aimd(aimd) => aimd,
            Algorithm::Gradient(gradient) => gradient.aimd(),
        }
    }

    fn limit(&self) -> usize {
        self.aimd().limit()
    }

    fn begin(&mut self) {
        if self.running.len() < self.limit() {
            self.running.push(self.aimd().start_call(self.running.len() + 1));
        }
    }

    fn take(&mut self, call: usize) -> Option<CallStart> {
        (!self.running.is_empty()).then(|| self.running.remove(call % self.running.len()))
    }

    fn succeed(&mut self, call: usize, first: u64) {
        let Some(begun) = self.take(call) else { return };
        let before = self.limit();
        let reason = match &mut self.algorithm {
            Algorithm::Aimd(aimd) => aimd.succeeded(self.now, begun),
            Algorithm::Gradient(gradient) => gradient.succeeded(self.now, begun, Duration::from_millis(first)),
        };
        self.check(before, reason);
    }

    fn overload(&mut self, call: usize, overload: Overload) {
        let Some(begun) = self.take(call) else { return };
        let before = self.limit();
        let reason = match &mut self.algorithm {
            Algorithm::Aimd(aimd) => aimd.overloaded(self.now, begun, overload),
            Algorithm::Gradient(gradient) => gradient.overloaded(self.now, begun, overload),
        };
        assert!(reason.is_none_or(|reason| reason == LimitChange::Overload));
        self.check(before, reason);
    }

    /// Checks that a change has a reason, and the direction of that reason.
    fn check(&self, before: usize, reason: Option<LimitChange>) {
        let after = self.limit();
        assert!((self.bounds.min..=self.bounds.max).contains(&after));
        match reason {
            None => assert_eq!(before, after),
            Some(LimitChange::Growth | LimitChange::Probe) => assert!(before < after),
            Some(LimitChange::Overload | LimitChange::Slow) => {
                assert!(after < before);
                let floor = (before as f64 * self.bounds.back_off) as usize;
                assert!(after >= floor, "from {before} to {after}");
            }
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Begin => self.begin(),
            Action::Succeed(call, first) => self.succeed(call, first),
            Action::Reject(call, wait) => {
                self.overload(call, Overload::Rejected { retry_after: wait.map(Duration::from_millis) });
            }
            Action::TimeOut(call) => self.overload(call, Overload::TimedOut),
            Action::Drop(call) => drop(self.take(call)),
            Action::Wait(ms) => self.now += Duration::from_millis(ms),
        }
    }

    /// Ends all running calls without a result.
    fn calm_down(&mut self) {
        self.running.clear();
        self.now += Duration::from_secs(2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_limit_keeps_its_bounds_and_reaches_both(
        latency_counts in any::<bool>(),
        (min, range, initial) in (1..5_usize, 1..60_usize, 0..60_usize),
        back_off in 0.1..0.9,
        actions in actions(),
    ) {
        let max = min + range;
        let bounds = Bounds { min, max, initial: initial.clamp(min, max), back_off };
        let mut model = Model::new(latency_counts, bounds);
        actions.into_iter().for_each(|action| model.apply(action));

        // A server that accepts everything: each probe needs 64 successes or five times the limit, and the credit of
        // one rejection can be owed. After a probe, steps double.
        model.calm_down();
        for _ in 0..20_000 {
            while model.running.len() < model.limit() {
                model.begin();
            }
            model.succeed(0, 100);
        }
        prop_assert_eq!(model.limit(), max);

        // A server that rejects everything.
        model.calm_down();
        for _ in 0..2_000 {
            model.begin();
            model.overload(0, Overload::Rejected { retry_after: None });
        }
        prop_assert_eq!(model.limit(), min);
    }

    /// The rejections that probing a server with a fixed capacity costs in the long run.
    #[test]
    fn probes_cost_at_most_one_call_in_64(capacity in 1..50_usize, latency_counts in any::<bool>()) {
        let mut model = Model::new(latency_counts, Bounds { min: 1, max: 64, initial: 4, back_off: 0.5 });
        let mut rejected = 0;
        let calls = 20_000;
        for _ in 0..calls {
            while model.running.len() < model.limit() {
                model.begin();
            }
            if model.running.len() > capacity {
                rejected += 1;
                let last = model.running.len() - 1;
                model.overload(last, Overload::Rejected { retry_after: None });
            } else {
                model.succeed(0, 100);
            }
        }
        prop_assert!((capacity - capacity / 16..=capacity + 1).contains(&model.limit()));
        // Slow start costs rejections once, to find the capacity.
        prop_assert!(rejected <= calls / 64 + capacity + 10, "{} rejected at {}", rejected, capacity);
    }
}
