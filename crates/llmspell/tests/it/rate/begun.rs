//! What is taken for a call that then never goes out, and for one that does.

use llmspell::{
    BoxStep, Breaker, Budget, Context, Error, ErrorKind, Limit, Policy, Rate, Retry, Step, Usage, step, value,
};
use tokio::time::{Instant, sleep, timeout};

use super::{Clock, ZERO, failing, rated};
use crate::probe::{Probe, Watch, ms};
use crate::wait::{completes, spawn_call, spawn_task};

/// A rate that gives one turn in an hour, so that any other one was given back.
fn hourly() -> Rate {
    Rate::per(1, ms(3_600_000)).tokens_per(100, ms(3_600_000)).burst(ZERO)
}

/// Whether there is a turn at once.
async fn has_turn(rate: &Rate) -> bool {
    let cx = Context::new().with_deadline(Instant::now() + ms(1));
    Probe::ok(0).rate(rate.clone().estimate(1)).run(0, &cx).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_refused_further_in_never_was_one() {
    let breaker = Breaker::new().consecutive_failures(1);
    let broken = step(|_: usize, _| async { Err::<usize, _>(Error::overloaded("503")) });
    let _ = broken.breaker(breaker.clone()).run(0, &Context::new()).await;
    let rate = hourly();
    let by_hand = Probe::ok(0).breaker(breaker.clone()).rate(rate.clone().estimate(100));
    for _ in 0..5 {
        assert_eq!(by_hand.run(0, &Context::new()).await.unwrap_err().kind(), ErrorKind::Rejected);
    }
    assert_eq!(rate.paused(), None, "and our own refusals are no word of the server");
    assert!(has_turn(&rate).await);
}

/// Somebody inside of a call refuses something: that call has been made.
#[tokio::test(start_paused = true)]
async fn a_refusal_inside_of_a_call_gives_no_turn_back() {
    let clock = Clock::start();
    let refused = failing(|| Error::new(ErrorKind::Rejected, "a budget of the tool is used up"));
    let step = rated(Rate::per_second(1).burst(ZERO), &clock);
    let calls = async {
        loop {
            let _ = step.run(refused, &Context::new()).await;
        }
    };
    let _ = timeout(ms(2500), calls).await;
    assert_eq!(clock.times(), [0, 1000, 2000].map(ms));
}

/// A thousand calls that wait for a permit are not a thousand calls.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_in_line_is_not_billed() {
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
            assert!(has_turn(&rate).await, "{name}");
            assert_eq!((budget.spent().tokens(), budget.remaining_tokens()), (0, Some(1000)), "{name}");
        }
    };
    tokio::select! { _ = holds => panic!("it holds the permit"), () = drops => {} }
    // One that has gone out is.
    let rate = hourly();
    let goes = Probe::ok(1000).limit(1).rate(rate.clone().estimate(100)).budget(budget.clone());
    assert!(timeout(ms(50), goes.run(0, &cx)).await.is_err());
    assert!(!has_turn(&rate).await);
    assert_eq!(budget.spent().tokens(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_calls_that_have_had_their_turn_and_wait_for_a_permit() {
    let clock = Clock::start();
    let seen = clock.clone();
    let work = step(move |n: usize, _| {
        seen.tick();
        async move {
            sleep(ms(100)).await;
            if n == 0 { Err(Error::overloaded("429").with_retry_after(ms(10_000))) } else { Ok(n) }
        }
    });
    let (rate, limit) = (Rate::per_second(100).burst(ms(1000)), Limit::new(1));
    let policy = Policy::new().rate(rate.clone()).limit(limit.clone());
    let (policed, by_hand) = (work.clone().policy(policy).boxed(), work.limit(limit.clone()).rate(rate.clone()));
    let both = step(move |n: usize, cx: Context| {
        let (policed, by_hand) = (policed.clone(), by_hand.clone());
        async move { if n.is_multiple_of(2) { policed.run(n, &cx).await } else { by_hand.run(n, &cx).await } }
    });
    let cx = Context::new();
    let all: Vec<_> = (0..50).map(|n| spawn_call(&both, n, &cx)).collect();
    sleep(ms(50)).await;
    assert_eq!((rate.waiting(), limit.waiting()), (0, 49), "all have had their turn");
    sleep(ms(100)).await;
    assert_eq!((rate.waiting(), limit.waiting()), (49, 0), "and have lost it");
    let mut succeeded = 0;
    for call in all {
        succeeded += usize::from(completes(call).await.is_ok());
    }
    assert_eq!(succeeded, 49);
    let times = clock.times();
    assert_eq!((times.len(), times[0], times[1]), (50, ZERO, ms(10_100)), "none in the pause");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_called_back_and_dropped_leaves_nothing_behind() {
    let (rate, limit) = (Rate::per_second(100).burst(ZERO), Limit::new(1));
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
async fn the_first_call_inside_of_a_call_goes_with_its_turn_and_every_other_takes_one() {
    let (rate, watch) = (Rate::per_second(1).burst(ZERO), Watch::default());
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
    assert!(!has_turn(&rate).await);
}
