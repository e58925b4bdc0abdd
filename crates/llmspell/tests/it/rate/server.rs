//! Feedback of a server: pauses, and its remaining quota.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use llmspell::observe::{EventKind, RateLimits, RateWindow};
use llmspell::{Context, Error, ErrorKind, Rate, Step, step};
use tokio::time::{Instant, sleep};

use super::{Clock, TestCall, ZERO, failing, rated};
use crate::probe::ms;
use crate::wait::{completes, spawn_call, spawn_task};

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_a_pause_gets_one_and_no_herd_after_it() {
    let (rate, clock) = (Rate::builder().per_second(10).burst(ms(1000)).build(), Clock::start());
    let busy = failing(|| Error::overloaded("429").with_retry_after(ms(5000)));
    let cx = Context::recording();
    // Five calls run at once, and all of them are rejected. The others arrive meanwhile.
    let step = Arc::new(rated(rate.clone(), &clock));
    let breaker = spawn_task(step.clone().stream([busy; 5], &cx).limit(5).collect());
    completes(sleep(ms(2))).await;
    assert_eq!(rate.paused(), Some(ms(4999)));
    let later: Vec<_> = (0..20).map(|_| spawn_call(&step, TestCall::default(), &cx)).collect();
    for call in later {
        completes(call).await.unwrap();
    }
    completes(breaker).await;
    let times = clock.times();
    assert_eq!(times[..5], [ms(0); 5]);
    let file: Vec<Duration> = (0..20).map(|place| ms(5001 + place * 100)).collect();
    assert_eq!(times[5..], file, "one by one, although the burst allows ten");
    let pauses: Vec<_> = cx.events().into_iter().filter(|e| matches!(e.fact, EventKind::RatePaused { .. })).collect();
    assert_eq!(pauses.len(), 1, "all of them asked for the same pause");
    assert_eq!(serde_json::to_value(&pauses[0].fact).unwrap()["pause_ms"], 5000.0);
}

#[tokio::test(start_paused = true)]
async fn a_pause_rejects_waiters_that_cannot_meet_their_deadline_at_once() {
    let (rate, clock) = (Rate::builder().per_second(1).burst(ZERO).build(), Clock::start());
    let step = Arc::new(rated(rate, &clock));
    let busy = TestCall { takes: 500, ..failing(|| Error::overloaded("429").with_retry_after(ms(10_000))) };
    let cx = Context::new();
    let hurried = |deadline_ms: u64| {
        let (cx, step) = (cx.with_deadline(Instant::now() + ms(deadline_ms)), step.clone());
        spawn_task(async move {
            let result = step.run(TestCall::default(), &cx).await;
            (result.map_err(|error| error.kind()), elapsed_of(&cx, deadline_ms))
        })
    };
    // The first waiter, and one behind a waiter that has time: both would have been admitted in time.
    let all = (spawn_call(&step, busy, &cx), hurried(5000), hurried(60_000), hurried(6000));
    let (_, first, patient, second) = completes(async { tokio::join!(all.0, all.1, all.2, all.3) }).await;
    assert_eq!((first, second), ((Err(ErrorKind::Rejected), ms(500)), (Err(ErrorKind::Rejected), ms(500))));
    assert_eq!(patient, (Ok(()), ms(10_500)));
}

/// Returns how much of the time up to the deadline has passed.
fn elapsed_of(cx: &Context, deadline_ms: u64) -> Duration {
    ms(deadline_ms) - cx.remaining().unwrap()
}

/// The first waiter after them starts when the pause ends, and does not wait for their tokens.
#[tokio::test(start_paused = true)]
async fn waiters_rejected_by_a_pause_take_their_requests_with_them() {
    let rate = Rate::builder().tokens_per(100, ms(1000)).burst(ms(1000)).build();
    let clock = Clock::start();
    let step = rated(rate.clone(), &clock);
    let cx = Context::new();
    let busy =
        TestCall { expected: 100, takes: 500, ..failing(|| Error::overloaded("429").with_retry_after(ms(30_000))) };
    let hurried = cx.with_deadline(Instant::now() + ms(25_000));
    let all = (
        spawn_call(&step, busy, &cx),
        spawn_call(&step, TestCall { expected: 10_000, ..TestCall::default() }, &hurried),
        spawn_call(&step, TestCall { expected: 1, ..TestCall::default() }, &cx),
    );
    let (_, large, small) = completes(async { tokio::join!(all.0, all.1, all.2) }).await;
    assert_eq!((large.map_err(|error| error.kind()), small.is_ok()), (Err(ErrorKind::Rejected), true));
    assert_eq!(clock.times(), [0, 30_500].map(ms));
    assert_eq!(rate.waiting(), 0);
}

/// The same if reported limits cause the pause.
#[tokio::test(start_paused = true)]
async fn waiters_rejected_by_reported_limits_take_their_requests_with_them() {
    let clock = Clock::start();
    let reported = step(|(), cx: Context| async move {
        sleep(ms(500)).await;
        // A quota of a hundred, of which none is left: it is full again in 30 s.
        cx.rate_limits(RateLimits::default().tokens(RateWindow::new(100, 0, ms(30_000))));
        Ok(())
    });
    let rate = Rate::builder().tokens_per(100, ms(1000)).burst(ms(1000)).build();
    let (reported, step) = (reported.rate(rate.clone().estimate(100)), rated(rate, &clock));
    let cx = Context::new();
    let hurried = cx.with_deadline(Instant::now() + ms(25_000));
    let all = (
        spawn_call(&reported, (), &cx),
        spawn_call(&step, TestCall { expected: 10_000, ..TestCall::default() }, &hurried),
        spawn_call(&step, TestCall { expected: 1, ..TestCall::default() }, &cx),
    );
    let (_, large, small) = completes(async { tokio::join!(all.0, all.1, all.2) }).await;
    assert_eq!((large.map_err(|error| error.kind()), small.is_ok()), (Err(ErrorKind::Rejected), true));
    assert_eq!(clock.times(), [ms(30_500)]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_too_long_rejects_for_a_fallback() {
    let (rate, clock) = (Rate::builder().per_second(10).max_pause(ms(30_000)).build(), Clock::start());
    let step = rated(rate, &clock);
    let busy = failing(|| Error::overloaded("no more today").with_retry_after(ms(3_600_000)));
    assert!(step.run(busy, &Context::new()).await.is_err());
    let error = step.run(TestCall::default(), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Rejected, Some(ms(3_600_000))));
    assert_eq!(error.message(), "the server asked for a pause, 1 h 0 min of which are left");
    sleep(ms(3_590_000)).await;
    step.run(TestCall::default(), &Context::new()).await.unwrap();
    assert_eq!(clock.times().last(), Some(&ms(3_600_001)));
}

#[tokio::test(start_paused = true)]
async fn reported_limits_tighten_at_once_and_never_loosen() {
    let clock = Clock::start();
    let seen = clock.clone();
    let work = step(move |remaining: Option<u64>, cx: Context| {
        seen.tick();
        async move {
            if let Some(remaining) = remaining {
                let window = RateWindow::new(600, remaining, ms(60_000));
                cx.rate_limits(RateLimits::default().requests(window).tokens(window));
            }
            Ok(())
        }
    });
    let work = work.rate(Rate::builder().per_second(10).burst(ms(500)).build());
    let cx = Context::recording();
    work.run(Some(1000), &cx).await.unwrap();
    work.run(Some(1), &cx).await.unwrap();
    for _ in 0..3 {
        work.run(None, &cx).await.unwrap();
    }
    assert_eq!(clock.times(), [0, 0, 0, 100, 200].map(ms), "one was left");
    work.run(Some(0), &cx).await.unwrap();
    work.run(None, &cx).await.unwrap();
    assert_eq!(clock.times()[5..], [300, 400].map(ms));
    assert_eq!(cx.events().iter().filter(|event| matches!(event.fact, EventKind::RateLimits(_))).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_with_a_lower_limit_sets_the_rate() {
    let (clock, reported) = (Clock::start(), Arc::new(AtomicBool::new(false)));
    let seen = clock.clone();
    let work = step(move |(), cx: Context| {
        seen.tick();
        if !reported.swap(true, Ordering::SeqCst) {
            // Six per minute, of which none is left: the next one in 10 s.
            cx.rate_limits(RateLimits::default().requests(RateWindow::new(6, 0, ms(60_000))));
        }
        async { Ok(()) }
    });
    work.rate(Rate::per_second(10)).stream([(); 3], &Context::new()).limit(1).collect().await;
    assert_eq!(clock.times(), [0, 10_000, 10_100].map(ms));
}

#[tokio::test(start_paused = true)]
async fn only_the_nearest_rate_follows_the_server() {
    let reported = step(|(), cx: Context| async move {
        cx.rate_limits(RateLimits::default().requests(RateWindow::new(60, 0, ms(60_000))));
        Ok(())
    });
    let (ours, theirs) = (
        Rate::builder().per_second(10).burst(ms(1000)).build(),
        Rate::builder().per_second(10).burst(ms(1000)).build(),
    );
    let nested = reported.rate(theirs.clone()).rate(ours.clone());
    nested.run((), &Context::new()).await.unwrap();
    let clock = Clock::start();
    for rate in [ours, theirs] {
        rated(rate, &clock).run(TestCall::default(), &Context::new()).await.unwrap();
    }
    assert_eq!(clock.times(), [0, 1000].map(ms));
}
