//! Whatever becomes of calls, in whatever order, the limit stays within its bounds, and is never stuck.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::aimd::Aimd;
use super::gradient::Gradient;
use super::{Begun, Bounds, Overload};
use crate::observe::event::LimitChange;

#[derive(Clone, Debug)]
enum Act {
    Begin,
    Succeed(usize, u64),
    Refuse(usize, Option<u64>),
    TimeOut(usize),
    Drop(usize),
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => Just(Act::Begin),
        6 => (any::<usize>(), 1..1000_u64).prop_map(|(call, first)| Act::Succeed(call, first)),
        1 => (any::<usize>(), prop::option::of(1..1000_u64)).prop_map(|(call, quiet)| Act::Refuse(call, quiet)),
        1 => any::<usize>().prop_map(Act::TimeOut),
        1 => any::<usize>().prop_map(Act::Drop),
        1 => (1..1000_u64).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 0..400)
}

/// Both algorithms behind one face, and the calls under way.
struct Model {
    algorithm: Either,
    bounds: Bounds,
    now: Instant,
    under_way: Vec<Begun>,
}

enum Either {
    Aimd(Aimd),
    Gradient(Gradient),
}

impl Model {
    fn new(slowness: bool, bounds: Bounds) -> Self {
        let algorithm =
            if slowness { Either::Gradient(Gradient::new(bounds, 1.5)) } else { Either::Aimd(Aimd::new(bounds)) };
        Model { algorithm, bounds, now: Instant::now(), under_way: Vec::new() }
    }

    fn search(&self) -> &Aimd {
        match &self.algorithm {
            Either::Aimd(aimd) => aimd,
            Either::Gradient(gradient) => gradient.search(),
        }
    }

    fn limit(&self) -> usize {
        self.search().limit()
    }

    fn begin(&mut self) {
        if self.under_way.len() < self.limit() {
            self.under_way.push(self.search().begin(self.under_way.len() + 1));
        }
    }

    fn take(&mut self, call: usize) -> Option<Begun> {
        (!self.under_way.is_empty()).then(|| self.under_way.remove(call % self.under_way.len()))
    }

    fn succeed(&mut self, call: usize, first: u64) {
        let Some(begun) = self.take(call) else { return };
        let before = self.limit();
        let reason = match &mut self.algorithm {
            Either::Aimd(aimd) => aimd.succeeded(self.now, begun),
            Either::Gradient(gradient) => gradient.succeeded(self.now, begun, Duration::from_millis(first)),
        };
        self.check(before, reason);
    }

    fn overload(&mut self, call: usize, overload: Overload) {
        let Some(begun) = self.take(call) else { return };
        let before = self.limit();
        let reason = match &mut self.algorithm {
            Either::Aimd(aimd) => aimd.overloaded(self.now, begun, overload),
            Either::Gradient(gradient) => gradient.overloaded(self.now, begun, overload),
        };
        assert!(reason.is_none_or(|reason| reason == LimitChange::Overload));
        self.check(before, reason);
    }

    /// A change has a reason, and the reason a direction.
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

    fn act(&mut self, act: Act) {
        match act {
            Act::Begin => self.begin(),
            Act::Succeed(call, first) => self.succeed(call, first),
            Act::Refuse(call, quiet) => {
                self.overload(call, Overload::Refused { quiet: quiet.map(Duration::from_millis) });
            }
            Act::TimeOut(call) => self.overload(call, Overload::TimedOut),
            Act::Drop(call) => drop(self.take(call)),
            Act::Wait(ms) => self.now += Duration::from_millis(ms),
        }
    }

    /// Lets everything that is under way end without a word.
    fn calm_down(&mut self) {
        self.under_way.clear();
        self.now += Duration::from_secs(2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_limit_keeps_its_bounds_and_finds_both_ends_of_them(
        slowness in any::<bool>(),
        (min, range, initial) in (1..5_usize, 1..60_usize, 0..60_usize),
        back_off in 0.1..0.9,
        acts in acts(),
    ) {
        let max = min + range;
        let bounds = Bounds { min, max, initial: initial.clamp(min, max), back_off };
        let mut model = Model::new(slowness, bounds);
        acts.into_iter().for_each(|act| model.act(act));

        // A server that takes everything: each probe needs 64 successes or five times the limit, and the credit of
        // one refusal can be owed; after it, steps double.
        model.calm_down();
        for _ in 0..20_000 {
            while model.under_way.len() < model.limit() {
                model.begin();
            }
            model.succeed(0, 100);
        }
        prop_assert_eq!(model.limit(), max);

        // One that refuses everything.
        model.calm_down();
        for _ in 0..2_000 {
            model.begin();
            model.overload(0, Overload::Refused { quiet: None });
        }
        prop_assert_eq!(model.limit(), min);
    }

    /// The refusals that probes of a server with one fixed capacity cost in the long run.
    #[test]
    fn probes_cost_one_call_in_64_at_the_most(capacity in 1..50_usize, slowness in any::<bool>()) {
        let mut model = Model::new(slowness, Bounds { min: 1, max: 64, initial: 4, back_off: 0.5 });
        let mut refused = 0;
        let calls = 20_000;
        for _ in 0..calls {
            while model.under_way.len() < model.limit() {
                model.begin();
            }
            if model.under_way.len() > capacity {
                refused += 1;
                let last = model.under_way.len() - 1;
                model.overload(last, Overload::Refused { quiet: None });
            } else {
                model.succeed(0, 100);
            }
        }
        prop_assert!((capacity - capacity / 16..=capacity + 1).contains(&model.limit()));
        // What slow start takes to find the capacity comes once.
        prop_assert!(refused <= calls / 64 + capacity + 10, "{} refused at {}", refused, capacity);
    }
}
