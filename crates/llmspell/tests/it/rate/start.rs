//! The charge of a call that never starts, and of one that does.

use llmspell::observe::Usage;
use llmspell::step::BoxStep;
use llmspell::{Breaker, Budget, Context, Error, ErrorKind, Limit, Policy, Rate, Retry, Step, step, value};
use tokio::time::{Instant, sleep, timeout};

use super::{Clock, ZERO, failing, rated};
use crate::probe::{Probe, Watch, ms};
use crate::wait::{completes, spawn_call, spawn_task};

/// A rate of one call per hour: if a second call is admitted, the first was refunded.
fn hourly() -> Rate {
    Rate::builder().per(1, ms(3_600_000)).tokens_per(100, ms(3_600_000)).burst(ZERO).build()
}

/// Whether the rate admits a call at once.
async fn admits_at_once(rate: &Rate) -> bool {
    let cx = Context::new().with_deadline(Instant::now() + ms(1));
    Probe::ok(0).rate(rate.clone().estimate(1)).run(0, &cx).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_rejected_further_in_is_refunded() {
    let breaker = Breaker::builder().consecutive_failures(1).build();
    let broken = step(|_: usize, _| async { Err::<usize, _>(Error::overloaded("503")) });
    let _ = broken.breaker(breaker.clone()).run(0, &Context::new()).await;
    let rate = hourly();
    let by_hand = Probe::ok(0).breaker(breaker.clone()).rate(rate.clone().estimate(100));
    for _ in 0..5 {
        assert_eq!(by_hand.run(0, &Context::new()).await.unwrap_err().kind(), ErrorKind::Rejected);
    }
    assert_eq!(rate.paused(), None, "rejections by flow control do not come from the server");
    assert!(admits_at_once(&rate).await);
}

/// A rejection inside a call: the call itself has been made.
#[tokio::test(start_paused = true)]
async fn a_rejection_inside_a_call_is_not_refunded() {
    let clock = Clock::start();
    let rejected = failing(|| Error::new(ErrorKind::Rejected, "a budget of the tool is exhausted"));
    let step = rated(Rate::builder().per_second(1).burst(ZERO).build(), &clock);
    let calls = async {
        loop {
            let _ = step.run(rejected, &Context::new()).await;
        }
    };
    let _ = timeout(ms(2500), calls).await;
    assert_eq!(clock.times(), [0, 1000, 2000].map(ms));
}

/// A thousand calls that wait for a permit are not a thousand calls.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_waits_is_not_charged() {
    let tokens = Usage::new(100, 0);
    let (limit, budget) = (Limit::new(1), Budget::tokens(1000).estimate(tokens));
    let policed = |rate| {
        let policy = Policy::new().limit(limit.clone()).rate(rate).budget(budget.clone()).breaker(Breaker::new());
        Probe::ok(1000).policy(policy).boxed()
    };
    let by_hand = |rate| Probe::ok(1000).limit(limit.clone()).rate(rate).budget(budget.clone()).boxed();
    let in_another_order = |rate| Probe::ok(1000).limit(limit.clone()).budget(budget.clone()).rate(rate).boxed();
    let wraps: [&dyn Fn(Rate) -> BoxStep<usize, usize>; 3] = [&policed, &by_hand, &in_another_order];
    let cx = Context::new();
    let taken = Probe::ok(3_600_000).limit(limit.clone());
    let holds = taken.run(0, &cx);
    let drops = async {
        sleep(ms(1)).await;
        for (name, wrap) in wraps.into_iter().enumerate() {
            let rate = hourly();
            let waits = wrap(rate.clone().estimate(100));
            assert!(timeout(ms(50), waits.run(0, &cx)).await.is_err());
            assert!(admits_at_once(&rate).await, "{name}");
            assert_eq!((budget.spent().tokens(), budget.remaining_tokens()), (0, Some(1000)), "{name}");
        }
    };
    tokio::select! { _ = holds => panic!("it holds the permit"), () = drops => {} }
    // A call that has started is charged.
    let rate = hourly();
    let goes = Probe::ok(1000).limit(1).rate(rate.clone().estimate(100)).budget(budget.clone());
    assert!(timeout(ms(50), goes.run(0, &cx)).await.is_err());
    assert!(!admits_at_once(&rate).await);
    assert_eq!(budget.spent().tokens(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_pause_revokes_admitted_calls_that_wait_for_a_permit() {
    let clock = Clock::start();
    let seen = clock.clone();
    let work = step(move |n: usize, _| {
        seen.tick();
        async move {
            sleep(ms(100)).await;
            if n == 0 { Err(Error::overloaded("429").with_retry_after(ms(10_000))) } else { Ok(n) }
        }
    });
    let (rate, limit) = (Rate::builder().per_second(100).burst(ms(1000)).build(), Limit::new(1));
    let policy = Policy::new().rate(rate.clone()).limit(limit.clone());
    let (policed, by_hand) = (work.clone().policy(policy).boxed(), work.limit(limit.clone()).rate(rate.clone()));
    let both = step(move |n: usize, cx: Context| {
        let (policed, by_hand) = (policed.clone(), by_hand.clone());
        async move { if n.is_multiple_of(2) { policed.run(n, &cx).await } else { by_hand.run(n, &cx).await } }
    });
    let cx = Context::new();
    let all: Vec<_> = (0..50).map(|n| spawn_call(&both, n, &cx)).collect();
    sleep(ms(50)).await;
    assert_eq!((rate.waiting(), limit.waiting()), (0, 49), "all are admitted");
    sleep(ms(100)).await;
    assert_eq!((rate.waiting(), limit.waiting()), (49, 0), "and all are revoked");
    let mut succeeded = 0;
    for call in all {
        succeeded += usize::from(completes(call).await.is_ok());
    }
    assert_eq!(succeeded, 49);
    let times = clock.times();
    assert_eq!((times.len(), times[0], times[1]), (50, ZERO, ms(10_100)), "none in the pause");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_call_that_is_dropped_leaves_nothing_behind() {
    let (rate, limit) = (Rate::builder().per_second(100).burst(ZERO).build(), Limit::new(1));
    let work = step(|n: u64, _| async move {
        sleep(ms(100)).await;
        Err::<u64, _>(Error::overloaded("429").with_retry_after(ms(10_000 + n)))
    });
    let work = work.limit(limit.clone()).rate(rate.clone());
    let cx = Context::new();
    let first = spawn_call(&work, 0, &cx);
    sleep(ms(20)).await;
    let second = spawn_task(async move { timeout(ms(500), work.run(1, &cx)).await });
    assert!(first.await.is_err() && second.await.is_err());
    assert_eq!((rate.waiting(), limit.waiting(), limit.available()), (0, 0, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn the_first_inner_call_shares_the_admission_and_every_other_needs_one() {
    let (rate, watch) = (Rate::builder().per_second(1).burst(ZERO).build(), Watch::default());
    let inner = || Probe::ok(0).watched(&watch).rate(rate.clone());
    let (started, cx) = (Instant::now(), Context::new());
    let took = || started.elapsed().as_secs();
    inner().rate(rate.clone()).run(0, &cx).await.unwrap();
    assert_eq!(took(), 0, "one request");
    inner().then(inner()).then(inner()).rate(rate.clone()).run(0, &cx).await.unwrap();
    assert_eq!(took(), 3, "three requests");
    let flaky = step(|(), cx: Context| async move {
        if cx.attempt() < 3 { Err(Error::failed("flaky").transient()) } else { Ok(()) }
    });
    flaky.rate(rate.clone()).retry(Retry::immediately()).rate(rate.clone()).run((), &cx).await.unwrap();
    assert_eq!(took(), 6, "three attempts");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_a_call_like_any_other() {
    let rate = hourly();
    let falls_back = Probe::ok(0).limit(1).fallback(value(7usize)).rate(rate.clone());
    assert_eq!(falls_back.run(1, &Context::new()).await.unwrap(), 1);
    assert!(!admits_at_once(&rate).await);
}
