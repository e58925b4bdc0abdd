//! What the server says about its own limits is listened to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use llmspell::{Context, Error, ErrorKind, EventKind, Rate, RateLimits, RateWindow, Step, step};
use tokio::time::{Instant, sleep};

use super::{Call, Clock, ZERO, failing, rated};
use crate::probe::ms;
use crate::wait::{completes, spawn_call, spawn_task};

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_a_pause_gets_one_and_no_herd_after_it() {
    let (rate, clock) = (Rate::per_second(10).burst(ms(1000)), Clock::start());
    let busy = failing(|| Error::overloaded("429").with_retry_after(ms(5000)));
    let cx = Context::recording();
    // Five ask at once, and all of them hear that it is too much. The others come meanwhile.
    let step = Arc::new(rated(rate.clone(), &clock));
    let storm = spawn_task(step.clone().stream([busy; 5], &cx).limit(5).collect());
    completes(sleep(ms(2))).await;
    assert_eq!(rate.paused(), Some(ms(4999)));
    let later: Vec<_> = (0..20).map(|_| spawn_call(&step, Call::default(), &cx)).collect();
    for call in later {
        completes(call).await.unwrap();
    }
    completes(storm).await;
    let times = clock.times();
    assert_eq!(times[..5], [ms(0); 5]);
    let file: Vec<Duration> = (0..20).map(|place| ms(5001 + place * 100)).collect();
    assert_eq!(times[5..], file, "one by one, although as many as ten may go after a quiet time");
    let pauses: Vec<_> = cx.events().into_iter().filter(|e| matches!(e.fact, EventKind::RatePaused { .. })).collect();
    assert_eq!(pauses.len(), 1, "all of them asked for the same one");
    assert_eq!(serde_json::to_value(&pauses[0].fact).unwrap()["pause_ms"], 5000.0);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_no_chance_in_a_pause_hears_it_when_it_begins() {
    let (rate, clock) = (Rate::per_second(1).burst(ZERO), Clock::start());
    let step = Arc::new(rated(rate, &clock));
    let busy = Call { takes: 500, ..failing(|| Error::overloaded("429").with_retry_after(ms(10_000))) };
    let cx = Context::new();
    let hurried = |deadline_ms: u64| {
        let (cx, step) = (cx.with_deadline(Instant::now() + ms(deadline_ms)), step.clone());
        spawn_task(async move {
            let result = step.run(Call::default(), &cx).await;
            (result.map_err(|error| error.kind()), clock_now(&cx, deadline_ms))
        })
    };
    // The first in line, and the one behind somebody who has time: both would have had a turn in time.
    let all = (spawn_call(&step, busy, &cx), hurried(5000), hurried(60_000), hurried(6000));
    let (_, first, patient, second) = completes(async { tokio::join!(all.0, all.1, all.2, all.3) }).await;
    assert_eq!((first, second), ((Err(ErrorKind::Rejected), ms(500)), (Err(ErrorKind::Rejected), ms(500))));
    assert_eq!(patient, (Ok(()), ms(10_500)));
}

/// How much of the time up to the deadline has passed.
fn clock_now(cx: &Context, deadline_ms: u64) -> Duration {
    ms(deadline_ms) - cx.remaining().unwrap()
}

/// Whoever is the first after them goes when the pause ends, and does not wait for what they wanted.
#[tokio::test(start_paused = true)]
async fn those_whom_a_pause_leaves_no_chance_take_their_wants_with_them() {
    let rate = Rate::unlimited().tokens_per(100, ms(1000)).burst(ms(1000));
    let clock = Clock::start();
    let step = rated(rate.clone(), &clock);
    let cx = Context::new();
    let busy = Call { expected: 100, takes: 500, ..failing(|| Error::overloaded("429").with_retry_after(ms(30_000))) };
    let hurried = cx.with_deadline(Instant::now() + ms(25_000));
    let all = (
        spawn_call(&step, busy, &cx),
        spawn_call(&step, Call { expected: 10_000, ..Call::default() }, &hurried),
        spawn_call(&step, Call { expected: 1, ..Call::default() }, &cx),
    );
    let (_, large, small) = completes(async { tokio::join!(all.0, all.1, all.2) }).await;
    assert_eq!((large.map_err(|error| error.kind()), small.is_ok()), (Err(ErrorKind::Rejected), true));
    assert_eq!(clock.times(), [0, 30_500].map(ms));
    assert_eq!(rate.waiting(), 0);
}

/// The same when it is the server's figures that make the pause.
#[tokio::test(start_paused = true)]
async fn those_whom_figures_leave_no_chance_take_their_wants_with_them() {
    let clock = Clock::start();
    let told = step(|(), cx: Context| async move {
        sleep(ms(500)).await;
        // A hundred, and all are gone: there are as many again in 30 s.
        cx.rate_limits(RateLimits::default().tokens(RateWindow::new(100, 0, ms(30_000))));
        Ok(())
    });
    let rate = Rate::unlimited().tokens_per(100, ms(1000)).burst(ms(1000));
    let (told, step) = (told.rate(rate.clone().estimate(100)), rated(rate, &clock));
    let cx = Context::new();
    let hurried = cx.with_deadline(Instant::now() + ms(25_000));
    let all = (
        spawn_call(&told, (), &cx),
        spawn_call(&step, Call { expected: 10_000, ..Call::default() }, &hurried),
        spawn_call(&step, Call { expected: 1, ..Call::default() }, &cx),
    );
    let (_, large, small) = completes(async { tokio::join!(all.0, all.1, all.2) }).await;
    assert_eq!((large.map_err(|error| error.kind()), small.is_ok()), (Err(ErrorKind::Rejected), true));
    assert_eq!(clock.times(), [ms(30_500)]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_too_long_is_for_the_fallback() {
    let (rate, clock) = (Rate::per_second(10).max_pause(ms(30_000)), Clock::start());
    let step = rated(rate, &clock);
    let busy = failing(|| Error::overloaded("no more today").with_retry_after(ms(3_600_000)));
    assert!(step.run(busy, &Context::new()).await.is_err());
    let error = step.run(Call::default(), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Rejected, Some(ms(3_600_000))));
    assert_eq!(error.message(), "the server asked for a pause, 1 h 0 min of which are left");
    sleep(ms(3_590_000)).await;
    step.run(Call::default(), &Context::new()).await.unwrap();
    assert_eq!(clock.times().last(), Some(&ms(3_600_001)));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_has_left_tightens_at_once_and_never_loosens() {
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
    let work = work.rate(Rate::per_second(10).burst(ms(500)));
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
async fn a_server_with_a_lower_limit_sets_the_pace() {
    let (clock, told) = (Clock::start(), Arc::new(AtomicBool::new(false)));
    let seen = clock.clone();
    let work = step(move |(), cx: Context| {
        seen.tick();
        if !told.swap(true, Ordering::SeqCst) {
            // Six a minute, and all are gone: the next one in 10 s.
            cx.rate_limits(RateLimits::default().requests(RateWindow::new(6, 0, ms(60_000))));
        }
        async { Ok(()) }
    });
    work.rate(Rate::per_second(10)).stream([(); 3], &Context::new()).limit(1).collect().await;
    assert_eq!(clock.times(), [0, 10_000, 10_100].map(ms));
}

#[tokio::test(start_paused = true)]
async fn only_the_nearest_rate_is_that_of_the_server() {
    let told = step(|(), cx: Context| async move {
        cx.rate_limits(RateLimits::default().requests(RateWindow::new(60, 0, ms(60_000))));
        Ok(())
    });
    let (ours, theirs) = (Rate::per_second(10).burst(ms(1000)), Rate::per_second(10).burst(ms(1000)));
    let nested = told.rate(theirs.clone()).rate(ours.clone());
    nested.run((), &Context::new()).await.unwrap();
    let clock = Clock::start();
    for rate in [ours, theirs] {
        rated(rate, &clock).run(Call::default(), &Context::new()).await.unwrap();
    }
    assert_eq!(clock.times(), [0, 1000].map(ms));
}
