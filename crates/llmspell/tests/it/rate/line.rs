//! Standing in line: who holds up whom, and how long anybody stays.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use llmspell::{Context, ErrorKind, Rate, RateLimits, RateWindow, Step, step};
use tokio::time::{Instant, sleep};

use super::{Call, Clock, ZERO, call, rated};
use crate::probe::{Probe, ms};
use crate::wait::{completes, spawn_call};

/// Lets a future get into line, and leaves it there.
async fn poll_once<F: Future + Unpin>(mut future: F) {
    poll_fn(|task| {
        assert!(std::pin::Pin::new(&mut future).poll(task).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn those_who_are_not_polled_hold_up_nobody_and_keep_their_turn() {
    let (rate, clock) = (Rate::per_second(10).burst(ZERO), Clock::start());
    let (step, cx) = (rated(rate.clone(), &clock), Context::new());
    step.run(Call::default(), &cx).await.unwrap();
    let (mut first, mut second) = (Box::pin(step.run(Call::default(), &cx)), Box::pin(step.run(Call::default(), &cx)));
    poll_once(&mut first).await;
    poll_once(&mut second).await;
    completes(step.run(Call::default(), &cx)).await.unwrap();
    assert_eq!(clock.times(), [0, 300].map(ms), "in its own time");
    completes(step.run(Call::default(), &cx)).await.unwrap();
    assert_eq!(clock.times()[2], ms(400));
    completes(first).await.unwrap();
    assert_eq!(clock.times()[3], ms(400), "the turn has waited for it");
    drop(second);
    completes(step.run(Call::default(), &cx)).await.unwrap();
    assert_eq!(clock.times()[4], ms(400), "and was given back");
    assert_eq!(rate.waiting(), 0);
}

/// Nobody in line is polled when the time comes, and somebody comes by.
#[tokio::test(start_paused = true)]
async fn whoever_comes_by_serves_those_in_line() {
    let (rate, clock) = (Rate::per_second(10).burst(ZERO), Clock::start());
    let (step, cx) = (rated(rate.clone(), &clock), Context::new());
    step.run(Call::default(), &cx).await.unwrap();
    let mut asleep = Box::pin(step.run(Call::default(), &cx));
    poll_once(&mut asleep).await;
    sleep(ms(1000)).await;
    step.run(Call::default(), &cx).await.unwrap();
    assert_eq!(clock.times()[1], ms(1100), "a tenth of a second after the turn of the other, who has it");
    asleep.await.unwrap();
    assert_eq!(clock.times()[2], ms(1100));
}

/// Tokens that come back are for the first in line, who looks anew; the others follow at the rate.
#[tokio::test(start_paused = true)]
async fn what_comes_back_brings_everybody_forward() {
    let clock = Clock::start();
    let rate = Rate::unlimited().tokens_per_minute(60_000).burst(ms(1000));
    let step = rated(rate, &clock);
    // The first takes all, and gives half of it back after 300 ms: 800 are there then.
    let calls = [call(1000, 500, 300), call(900, 900, 0), call(100, 100, 0), call(100, 100, 0)];
    let outcomes = step.stream(calls, &Context::new()).limit(4).collect();
    completes(outcomes).await;
    assert_eq!(clock.times(), [0, 400, 500, 600].map(ms));
}

#[tokio::test(start_paused = true)]
async fn nobody_stays_in_line_who_is_cancelled() {
    let rate = Rate::per(1, ms(3_600_000)).burst(ZERO);
    let (cx, canceller) = Context::new().cancellable();
    Probe::ok(0).rate(rate.clone()).run(0, &cx).await.unwrap();
    let started = Instant::now();
    let waits = spawn_call(&Arc::new(Probe::ok(0).rate(rate.clone())), 0, &cx);
    sleep(ms(5)).await;
    canceller.cancel();
    assert_eq!((completes(waits).await.unwrap_err().kind(), started.elapsed()), (ErrorKind::Cancelled, ms(5)));
    assert_eq!(rate.waiting(), 0);
}

/// Its caller has left, and it has an hour to come to a good end: it must not make a call instead.
#[tokio::test(start_paused = true)]
async fn a_task_in_its_grace_makes_no_call_it_waited_for() {
    let clock = Clock::start();
    let rate = Rate::per_second(1).burst(ZERO);
    let step = rated(rate.clone(), &clock);
    step.run(Call::default(), &Context::new()).await.unwrap();
    let task = step.spawned().grace(ms(3_600_000)).timeout(ms(1500));
    let behind = async {
        sleep(ms(1)).await;
        task.run(Call::default(), &Context::new().with_deadline(Instant::now() + ms(500))).await
    };
    assert!(behind.await.is_err());
    sleep(ms(5000)).await;
    assert_eq!((clock.times().len(), rate.waiting()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_nothing_left_for_too_long_is_for_the_fallback() {
    let told = step(|(), cx: Context| async move {
        cx.rate_limits(RateLimits::default().requests(RateWindow::new(5, 0, ms(24 * 3_600_000))));
        Ok(())
    });
    let rate = Rate::per_second(1).burst(ms(10_000));
    let told = told.rate(rate.clone());
    let mut waits = pin!(async {
        sleep(ms(1)).await;
        told.run((), &Context::new()).await
    });
    told.run((), &Context::new()).await.unwrap();
    assert_eq!(rate.paused(), Some(ms(24 * 720_000)), "a fifth of a day until there is one");
    let error = completes(&mut waits).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Rejected, Some(ms(24 * 720_000 - 1))));
    assert!(error.hint().unwrap().contains("max_pause"));
}

#[test]
#[should_panic(expected = "configure a `Rate` before it is cloned")]
fn a_rate_that_is_shared_cannot_be_changed() {
    let rate = Rate::per_second(1);
    let _shared = rate.clone();
    let _ = rate.burst(ms(1));
}

#[test]
fn an_estimate_belongs_to_the_clone() {
    let rate = Rate::per_second(1);
    let _ = (rate.clone().estimate(5), rate.estimate(7));
}

/// As many looks as turns: nobody is woken for the turn of somebody else.
#[tokio::test(start_paused = true)]
async fn no_herd_wakes_up_for_each_turn() {
    let (clock, polls) = (Clock::start(), Arc::new(AtomicUsize::new(0)));
    let rated = Arc::new(rated(Rate::per_second(10).burst(ZERO), &clock));
    let counted = polls.clone();
    let counting = step(move |call: Call, cx: Context| {
        let (rated, polls) = (rated.clone(), counted.clone());
        async move {
            let mut work = pin!(rated.run(call, &cx));
            poll_fn(|task| {
                polls.fetch_add(1, Ordering::SeqCst);
                work.as_mut().poll(task)
            })
            .await
        }
    });
    completes(counting.stream([Call::default(); 200], &Context::new()).limit(200).collect()).await;
    assert_eq!(clock.times().last(), Some(&ms(19_900)));
    // Each is polled when it comes, when its turn is due, and once more in its work.
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls <= 3 * 200, "{polls} polls");
}
