//! A budget that the retries and hedges of many calls share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::control::RetryBudget;
use llmspell::observe::{EventKind, RetryStop};
use llmspell::{Context, Error, Hedge, Policy, Retry, Step, step};
use proptest::prelude::*;
use tokio::time::sleep;

use crate::probe::{Probe, ms};

/// Returns a step that fails at once, and the number of its calls.
fn failing() -> (impl Step<In = usize, Out = usize> + Clone, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let failing = step(move |_: usize, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Err(Error::failed("down").transient()) }
    });
    (failing, calls)
}

fn count(calls: &AtomicUsize) -> usize {
    calls.load(Ordering::SeqCst)
}

fn stubborn() -> Retry {
    Retry::immediately().max_attempts(1000)
}

#[tokio::test(start_paused = true)]
async fn many_calls_retry_at_most_their_share() {
    let (step, calls) = failing();
    let step = step.retry(stubborn().retry_budget(RetryBudget::builder(0.2).burst(1).build()));
    for n in 0..1000 {
        step.run(n, &Context::new()).await.unwrap_err();
    }
    // One at the start, and the share of each call except the first, whose share did not fit into the bucket.
    assert_eq!(count(&calls), 1000 + 1 + 199);
}

#[tokio::test(start_paused = true)]
async fn saved_up_attempts_are_bounded() {
    let budget = RetryBudget::builder(0.5).burst(7).build();
    let fine = Arc::new(Probe::ok(0).retry(Retry::immediately().retry_budget(budget.clone())));
    for n in 0..1000 {
        fine.run(n, &Context::new()).await.unwrap();
    }
    assert_eq!(budget.available(), 7);
    let (step, calls) = failing();
    step.retry(stubborn().retry_budget(budget.clone())).run(0, &Context::new()).await.unwrap_err();
    assert_eq!((count(&calls), budget.available()), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_service_can_spend_its_reserve() {
    let (step, calls) = failing();
    let step = step.retry(stubborn().retry_budget(RetryBudget::builder(0.0).reserve(0.5).burst(1).build()));
    for n in 0..10 {
        step.run(n, &Context::new()).await.unwrap_err();
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(count(&calls), 20, "one call in two seconds, and one retry");
}

#[tokio::test(start_paused = true)]
async fn a_refused_retry_names_the_budget() {
    let refusals = |cx: &Context| -> Vec<RetryStop> {
        let reason =
            |fact: EventKind| if let EventKind::RetryRefused { reason, .. } = fact { Some(reason) } else { None };
        cx.events().into_iter().filter_map(|event| reason(event.fact)).collect()
    };
    let (step, _) = failing();
    let (cx, budget) = (Context::recording(), RetryBudget::builder(0.0).burst(1).build());
    let shared = step.clone().retry(Retry::immediately().max_attempts(5).retry_budget(budget.clone()));
    let error = shared.run(0, &cx).await.unwrap_err();
    assert_eq!(error.message(), "gave up after 2 attempts: the retry budget that calls share is used up: down");
    assert_eq!((error.attempts(), refusals(&cx)), (2, vec![RetryStop::RetryBudget]));

    let cx = Context::recording();
    let nested = step.retry(Retry::immediately()).named("inner").retry(Retry::immediately());
    let error = nested.run(0, &cx).await.unwrap_err();
    assert!(error.message().contains("the retries of this call are used up"), "{error}");
    assert_eq!(refusals(&cx), [RetryStop::Attempts, RetryStop::NestedRetries]);
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_bucket_and_budgets_of_one_builder_do_not() {
    let terms = RetryBudget::builder(0.0).burst(2);
    let (budget, other) = (terms.clone().build(), terms.build());
    let clone = budget.clone();
    let (step, _) = failing();
    step.retry(stubborn().retry_budget(budget.clone())).run(0, &Context::new()).await.unwrap_err();
    assert_eq!([budget, clone, other].map(|budget| budget.available()), [0, 0, 2]);
}

/// However retries and hedges are nested, a call counts once.
#[tokio::test(start_paused = true)]
async fn a_call_deposits_its_share_once() {
    let budget = RetryBudget::builder(0.25).burst(10).build();
    let (drain, _) = failing();
    drain.retry(stubborn().retry_budget(budget.clone())).run(0, &Context::new()).await.unwrap_err();
    assert_eq!(budget.available(), 0);

    let (retry, hedge) =
        (Retry::immediately().retry_budget(budget.clone()), Hedge::after(ms(100)).retry_budget(budget.clone()));
    let inner = Probe::ok(1).idempotent().retry(retry.clone()).hedge(hedge.clone());
    let nest = Arc::new(inner.retry(retry.clone()).hedge(hedge).retry(retry));
    let policed =
        Probe::ok(1).idempotent().policy(Policy::new().hedge(Hedge::after(ms(1))).retry_budget(budget.clone()));
    for n in 0..2 {
        nest.run(n, &Context::new()).await.unwrap();
        policed.run(n, &Context::new()).await.unwrap();
    }
    assert_eq!(budget.available(), 1, "four calls, a quarter each");

    // An item of a stream is a call of its own, even inside another call.
    let nest = nest.clone();
    let batch = step(move |items: usize, cx: Context| {
        let nest = nest.clone();
        async move { nest.stream(0..items, &cx).try_collect().await }
    });
    batch.retry(Retry::immediately().retry_budget(budget.clone())).run(15, &Context::new()).await.unwrap();
    assert_eq!(budget.available(), 1 + 4, "a batch of fifteen, and each of them");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_not_made_is_returned() {
    let budget = RetryBudget::builder(0.0).burst(3).build();
    let (step, calls) = failing();
    let step = step.retry(Retry::delays([ms(1000)]).retry_budget(budget.clone())).deadline(ms(1500));
    let (cx, canceller) = Context::new().cancellable();
    let cancel = async {
        sleep(ms(10)).await;
        assert_eq!(budget.available(), 2, "the retry waits");
        canceller.cancel();
    };
    let (result, ()) = tokio::join!(step.run(0, &cx), cancel);
    assert!(result.unwrap_err().message().starts_with("cancelled"));
    assert_eq!(budget.available(), 3);
    // The same if the call is dropped.
    assert!(tokio::time::timeout(ms(10), step.run(0, &Context::new())).await.is_err());
    assert_eq!((count(&calls), budget.available()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn retries_and_hedges_draw_on_one_budget() {
    let budget = RetryBudget::builder(0.0).burst(4).build();
    let slow = Probe::fails(200, "down");
    let watch = slow.watch.clone();
    let when = |error: &Error| error.kind() != llmspell::ErrorKind::Invalid;
    let policy = Policy::new().retry_budget(budget.clone()).retry(stubborn().when(when)).hedge(Hedge::after(ms(100)));
    slow.idempotent().policy(policy).run(0, &Context::new()).await.unwrap_err();
    assert_eq!((watch.begun(), watch.alive(), budget.available()), (1 + 4, 0, 0));
}

/// G13: also if every call is slow, and many run at once.
#[tokio::test(start_paused = true)]
async fn hedges_keep_to_the_budget_even_if_every_call_is_slow() {
    let budget = RetryBudget::builder(0.05).burst(3).build();
    let slow = Probe::ok(500);
    let watch = slow.watch.clone();
    let hedged = slow.idempotent().hedge(Hedge::after(ms(100)).retry_budget(budget.clone()));
    hedged.stream(0..1000, &Context::new()).limit(50).try_collect().await.unwrap();
    let hedges = watch.begun() - 1000;
    assert!((50..=53).contains(&hedges), "{hedges}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// G11: attempts ≤ (1 + share) · calls + reserve · t + burst, at any time, against a service that always fails.
    #[test]
    fn attempts_are_bounded(
        share in 0..=100u32,
        reserve in 0..50u32,
        burst in 1..20u32,
        waits in prop::collection::vec(0..500u64, 1..100),
        at_once in 1..8usize,
        hedges: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async move {
            let (share, reserve) = (f64::from(share) / 100.0, f64::from(reserve) / 10.0);
            let budget = RetryBudget::builder(share).reserve(reserve).burst(burst).build();
            let down = Probe::fails(20, "down");
            let watch = down.watch.clone();
            let hedge = if hedges { Hedge::after(ms(10)) } else { Hedge::never() };
            let retry = Retry::exponential().base(ms(1)).max_attempts(50).when(|_| true);
            let step = down.idempotent().policy(Policy::new().retry(retry).hedge(hedge).retry_budget(budget.clone()));
            let step = Arc::new(step);
            let (started, mut calls) = (tokio::time::Instant::now(), 0);
            for wait in waits {
                step.clone().stream(0..at_once, &Context::new()).limit(at_once).collect().await;
                calls += at_once;
                let time = started.elapsed().as_secs_f64();
                let most = (1.0 + share) * calls as f64 + reserve * time + f64::from(burst);
                let attempts = watch.begun() as f64;
                assert!(attempts <= most + 1e-6, "{attempts} of {most}");
                sleep(ms(wait)).await;
            }
        });
    }
}

/// G11 on four threads that draw on the budget at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attempts_are_bounded_on_four_threads() {
    const CALLS: usize = 20_000;
    let (step, calls) = failing();
    let step = step.retry(stubborn().retry_budget(RetryBudget::builder(0.3).burst(10).build()));
    step.stream(0..CALLS, &Context::new()).limit(64).collect().await;
    let retries = count(&calls) - CALLS;
    assert!((5_990..=6_010).contains(&retries), "{retries}");
}
