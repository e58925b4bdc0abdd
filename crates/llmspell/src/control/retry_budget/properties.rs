//! The retry budget is exact, under random actions and on several threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{RetryBudget, RetryPermit};

fn spend(budget: &RetryBudget) -> bool {
    budget.take().map(RetryPermit::spend).is_some()
}

#[derive(Clone, Debug)]
enum Action {
    Call,
    Spend,
    GiveBack,
    Wait(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => Just(Action::Call),
        4 => Just(Action::Spend),
        1 => Just(Action::GiveBack),
        1 => (0..2000u64).prop_map(Action::Wait),
    ];
    prop::collection::vec(action, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Compares the budget with a bucket in exact fractions.
    #[test]
    fn the_budget_is_exact(share in 0..=1000u64, reserve in 0..5000u64, burst in 1..20u32, actions in actions()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async move {
            let budget = RetryBudget::builder(share as f64 / 1e3);
            let budget = budget.reserve(reserve as f64 / 1e3).burst(burst).build();
            const ONE: u64 = 1_000_000_000_000;
            let full = u64::from(burst) * ONE;
            let mut model = full;
            for action in actions {
                match action {
                    Action::Call => {
                        budget.deposit();
                        model = full.min(model + share * 1_000_000_000);
                    }
                    Action::Spend => {
                        let may = model >= ONE;
                        assert_eq!(spend(&budget), may);
                        model -= if may { ONE } else { 0 };
                    }
                    Action::GiveBack => drop(budget.take()),
                    Action::Wait(ms) => {
                        tokio::time::advance(Duration::from_millis(ms)).await;
                        model = full.min(model + reserve * ms * 1_000_000);
                    }
                }
                assert_eq!(budget.available(), model / ONE);
            }
        });
    }
}

#[test]
fn shares_add_up_without_drift() {
    for share in [0.1, 0.2, 0.29, 0.3, 0.6, 0.7, 1.0 / 3.0] {
        let budget = RetryBudget::share(share);
        while spend(&budget) {}
        let mut hedges = 0;
        for _ in 0..100_000 {
            budget.deposit();
            hedges += u64::from(spend(&budget));
        }
        let exact = (share * 1e5 + 1e-6) as u64;
        assert_eq!(hedges, exact, "{share}");
    }
}

/// In a budget that reads the balance and then takes, two callers can take the same attempt.
#[test]
fn four_threads_take_no_more_than_there_is() {
    for round in 0..20u32 {
        const CALLS: u32 = 10_000;
        let budget = RetryBudget::builder(0.3).burst(10 + round).build();
        let taken = AtomicU64::new(0);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..CALLS {
                        budget.deposit();
                        // More than once, so that the budget is always exhausted.
                        let attempts = (0..3).filter(|_| spend(&budget)).count();
                        taken.fetch_add(attempts as u64, Ordering::Relaxed);
                    }
                });
            }
        });
        let (taken, max) = (taken.into_inner(), u64::from(4 * CALLS * 3 / 10 + 10 + round));
        assert!(taken <= max, "{taken} of {max}");
        // The first share of each thread may not fit into the full bucket, and less than one attempt is left at the
        // end.
        assert!(taken + 3 >= max, "{taken} of {max}");
    }
}

/// Four threads that read the clock at the same time must not add the same second twice.
#[test]
fn the_reserve_is_added_once() {
    let started = Instant::now();
    let budget = RetryBudget::builder(0.0).reserve(100_000.0).burst(1).build();
    let taken = AtomicU64::new(0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..20_000 {
                    taken.fetch_add(u64::from(spend(&budget)), Ordering::Relaxed);
                }
            });
        }
    });
    let max = started.elapsed().as_secs_f64() * 100_000.0 + 2.0;
    assert!(taken.into_inner() as f64 <= max);
}
