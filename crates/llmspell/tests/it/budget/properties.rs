//! Properties of every budget, under random traffic.

use std::sync::{Arc, Mutex};

use llmspell::observe::Usage;
use llmspell::{Budget, Context, Error, ErrorKind, Step, step};
use proptest::prelude::*;
use tokio::time::{Duration, sleep, timeout};

use super::tokens;
use crate::probe::ms;

#[derive(Clone, Copy, Debug)]
struct Caller {
    arrives: u64,
    takes: u64,
    /// The time from its arrival until it is dropped, whether it waits or runs.
    dropped_after: Option<u64>,
    expected: u64,
    used: u64,
    /// Whether it reports its usage in two parts, or only at the end.
    in_two_reports: bool,
    fails: bool,
}

fn callers(exact: bool) -> impl Strategy<Value = Vec<Caller>> {
    let times = (0..200u64, 0..50u64, prop::option::weighted(0.3, 0..80u64));
    let caller = (times, 1..100u64, 0..100u64, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        move |((arrives, takes, dropped_after), expected, used, in_two_reports, fails)| {
            let used = if exact { used.min(expected) } else { used };
            Caller { arrives, takes, dropped_after, expected, used, in_two_reports, fails }
        },
    );
    prop::collection::vec(caller, 1..60)
}

#[derive(Clone, Copy)]
struct SpendingStep;

impl Step for SpendingStep {
    type In = Caller;
    type Out = ();

    async fn run(&self, caller: Caller, cx: &Context) -> llmspell::Result<()> {
        let first = if caller.in_two_reports { caller.used / 2 } else { 0 };
        if first > 0 {
            cx.record_usage(tokens(first));
        }
        sleep(ms(caller.takes)).await;
        cx.record_usage(Usage::new(0, caller.used - first));
        if caller.fails { Err(Error::failed("no")) } else { Ok(()) }
    }
}

fn paused<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(3600), work).await.expect("no call waits for ever") })
}

/// Runs all callers, each from its arrival, and returns the rejected ones.
async fn run_callers(callers: Vec<Caller>, budget: &Budget, cap: u64) -> Vec<Caller> {
    let rejected = Arc::new(Mutex::new(Vec::new()));
    let (seen, watched) = (rejected.clone(), budget.clone());
    let spending = SpendingStep.budget(budget.clone()).estimate(|caller| tokens(caller.expected));
    let one = step(move |caller: Caller, cx: Context| {
        let (spending, seen, watched) = (spending.clone(), seen.clone(), watched.clone());
        async move {
            sleep(ms(caller.arrives)).await;
            let run = spending.run(caller, &cx);
            let result = match caller.dropped_after {
                Some(after) => timeout(ms(after), run).await.unwrap_or(Ok(())),
                None => run.await,
            };
            if result.is_err_and(|error| error.kind() == ErrorKind::Rejected) {
                let spent = watched.spent().tokens();
                assert!(spent + caller.expected > cap || spent >= cap, "rejected although it fits: {caller:?}");
                seen.lock().unwrap().push(caller);
            }
            Ok(())
        }
    });
    let all = callers.len();
    let outcomes = one.stream(callers, &Context::new()).limit(all).collect().await;
    outcomes.into_iter().for_each(|outcome| outcome.result.unwrap());
    Arc::into_inner(rejected).map(|rejected| rejected.into_inner().unwrap()).unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn calls_that_use_no_more_than_expected_never_exceed_the_cap(callers in callers(true), cap in 0..1500u64) {
        paused(async {
            let budget = Budget::tokens(cap);
            run_callers(callers, &budget, cap).await;
            assert!(budget.spent().tokens() <= cap, "{} of {cap}", budget.spent().tokens());
            assert_eq!(budget.remaining_tokens(), Some(cap - budget.spent().tokens()), "nothing stays reserved");
        });
    }

    #[test]
    fn calls_exceed_the_cap_at_most_by_the_error_of_the_estimates(callers in callers(false), cap in 0..1500u64) {
        let off: u64 = callers.iter().map(|caller| caller.used.saturating_sub(caller.expected)).sum();
        paused(async {
            let budget = Budget::tokens(cap);
            run_callers(callers, &budget, cap).await;
            assert!(budget.spent().tokens() <= cap + off, "{} of {cap} + {off}", budget.spent().tokens());
        });
    }

    #[test]
    fn a_stream_pulls_no_input_that_it_cannot_run(
        callers in callers(true), cap in 0..1500u64, limit in 1..20usize, estimate in prop::option::of(100..150u64),
    ) {
        paused(async {
            let mut budget = Budget::tokens(cap);
            if let Some(estimate) = estimate {
                budget = budget.estimate(tokens(estimate));
            }
            let total = callers.len();
            let mut stream = SpendingStep.stream(callers, &Context::new()).limit(limit).budget(budget.clone());
            let (mut delivered, mut used) = (0, 0);
            while let Some(outcome) = stream.next().await {
                assert!(outcome.result.err().is_none_or(|error| error.kind() == ErrorKind::Failed));
                used += outcome.provenance.usage().tokens();
                delivered += 1;
            }
            assert_eq!((delivered, used), (stream.pulled(), budget.spent().tokens()));
            assert!(delivered == total || stream.stopped().is_some());
            if estimate.is_some() {
                assert!(budget.spent().tokens() <= cap);
            }
        });
    }
}

/// On threads and a real clock: half of the callers are dropped at any moment, whether they wait or run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_calls_on_two_threads_leave_nothing_reserved() {
    // Four calls at a time, none of which uses its reservation.
    let budget = Budget::tokens(100).estimate(tokens(25));
    let work = step(|n: u64, cx: Context| async move {
        cx.record_usage(tokens(0));
        tokio::task::yield_now().await;
        Ok(n)
    });
    let work = Arc::new(work.budget(budget.clone()));
    let one = step(move |n: u64, cx: Context| {
        let work = work.clone();
        async move {
            let run = work.run(n, &cx);
            if n.is_multiple_of(2) { run.await.map(|_| true) } else { Ok(timeout(ms(n % 7), run).await.is_ok()) }
        }
    });
    let all = one.stream(0..4000, &Context::new()).limit(300).try_collect();
    let served = timeout(Duration::from_secs(60), all).await.expect("no call waits for ever").unwrap();
    assert!(served.iter().filter(|served| **served).count() >= 2000, "every call that was not dropped");
    assert_eq!((budget.spent().tokens(), budget.remaining_tokens()), (0, Some(100)));
}
