//! The queue of a rate: its order, and how long a call stays in it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use llmspell::observe::{RateLimits, RateWindow};
use llmspell::{Context, ErrorKind, Rate, Step, step};
use tokio::time::{Instant, sleep};

use super::{Clock, TestCall, ZERO, call, rated};
use crate::probe::{Probe, ms};
use crate::wait::{completes, spawn_call};

/// Polls a future once, so that it joins the queue.
async fn poll_once<F: Future + Unpin>(mut future: F) {
    poll_fn(|task| {
        assert!(std::pin::Pin::new(&mut future).poll(task).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unpolled_waiters_do_not_block_the_queue_and_keep_their_admission() {
    let (rate, clock) = (Rate::builder().per_second(10).burst(ZERO).build(), Clock::start());
    let (step, cx) = (rated(rate.clone(), &clock), Context::new());
    step.run(TestCall::default(), &cx).await.unwrap();
    let (mut first, mut second) =
        (Box::pin(step.run(TestCall::default(), &cx)), Box::pin(step.run(TestCall::default(), &cx)));
    poll_once(&mut first).await;
    poll_once(&mut second).await;
    completes(step.run(TestCall::default(), &cx)).await.unwrap();
    assert_eq!(clock.times(), [0, 300].map(ms), "at its own time");
    completes(step.run(TestCall::default(), &cx)).await.unwrap();
    assert_eq!(clock.times()[2], ms(400));
    completes(first).await.unwrap();
    assert_eq!(clock.times()[3], ms(400), "the admission was kept for it");
    drop(second);
    completes(step.run(TestCall::default(), &cx)).await.unwrap();
    assert_eq!(clock.times()[4], ms(400), "and was refunded");
    assert_eq!(rate.waiting(), 0);
}

/// No waiter is polled when its time comes, and a new call arrives.
#[tokio::test(start_paused = true)]
async fn a_new_call_serves_the_waiters() {
    let (rate, clock) = (Rate::builder().per_second(10).burst(ZERO).build(), Clock::start());
    let (step, cx) = (rated(rate.clone(), &clock), Context::new());
    step.run(TestCall::default(), &cx).await.unwrap();
    let mut asleep = Box::pin(step.run(TestCall::default(), &cx));
    poll_once(&mut asleep).await;
    sleep(ms(1000)).await;
    step.run(TestCall::default(), &cx).await.unwrap();
    assert_eq!(clock.times()[1], ms(1100), "a tenth of a second after the waiter, which was admitted");
    asleep.await.unwrap();
    assert_eq!(clock.times()[2], ms(1100));
}

/// Refunded tokens go to the first waiter, which polls anew; the others follow at the rate.
#[tokio::test(start_paused = true)]
async fn a_refund_brings_the_waiters_forward() {
    let clock = Clock::start();
    let rate = Rate::builder().tokens_per_minute(60_000).burst(ms(1000)).build();
    let step = rated(rate, &clock);
    // The first call takes all tokens, and refunds half of them after 300 ms: the bucket holds 800 then.
    let calls = [call(1000, 500, 300), call(900, 900, 0), call(100, 100, 0), call(100, 100, 0)];
    let outcomes = step.stream(calls, &Context::new()).limit(4).collect();
    completes(outcomes).await;
    assert_eq!(clock.times(), [0, 400, 500, 600].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_leaves_the_queue() {
    let rate = Rate::builder().per(1, ms(3_600_000)).burst(ZERO).build();
    let (cx, canceller) = Context::new().cancellable();
    Probe::ok(0).rate(rate.clone()).run(0, &cx).await.unwrap();
    let started = Instant::now();
    let waits = spawn_call(&Arc::new(Probe::ok(0).rate(rate.clone())), 0, &cx);
    sleep(ms(5)).await;
    canceller.cancel();
    assert_eq!((completes(waits).await.unwrap_err().kind(), started.elapsed()), (ErrorKind::Cancelled, ms(5)));
    assert_eq!(rate.waiting(), 0);
}

/// The caller has gone, and the task has an hour of grace: it must not start the call that it waited for.
#[tokio::test(start_paused = true)]
async fn a_waiting_task_in_its_grace_starts_no_call() {
    let clock = Clock::start();
    let rate = Rate::builder().per_second(1).burst(ZERO).build();
    let step = rated(rate.clone(), &clock);
    step.run(TestCall::default(), &Context::new()).await.unwrap();
    let task = step.spawned().grace(ms(3_600_000)).timeout(ms(1500));
    let behind = async {
        sleep(ms(1)).await;
        task.run(TestCall::default(), &Context::new().with_deadline(Instant::now() + ms(500))).await
    };
    assert!(behind.await.is_err());
    sleep(ms(5000)).await;
    assert_eq!((clock.times().len(), rate.waiting()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_without_quota_for_too_long_rejects_for_a_fallback() {
    let reported = step(|(), cx: Context| async move {
        cx.rate_limits(RateLimits::default().requests(RateWindow::new(5, 0, ms(24 * 3_600_000))));
        Ok(())
    });
    let rate = Rate::builder().per_second(1).burst(ms(10_000)).build();
    let reported = reported.rate(rate.clone());
    let mut waits = pin!(async {
        sleep(ms(1)).await;
        reported.run((), &Context::new()).await
    });
    reported.run((), &Context::new()).await.unwrap();
    assert_eq!(rate.paused(), Some(ms(24 * 720_000)), "a fifth of a day until there is one");
    let error = completes(&mut waits).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Rejected, Some(ms(24 * 720_000 - 1))));
    assert!(error.hint().unwrap().contains("max_pause"));
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_quota_and_rates_of_one_builder_do_not() {
    let settings = Rate::builder().per(1, ms(3_600_000));
    let (rate, other) = (settings.clone().build(), settings.build());
    let hurried = Context::new().with_deadline(Instant::now() + ms(1));
    let runs = async |rate: &Rate| Probe::ok(0).rate(rate.clone()).run(0, &hurried).await.is_ok();
    assert!(runs(&rate).await);
    assert_eq!((runs(&rate.clone()).await, runs(&other).await), (false, true));
}

#[test]
fn an_estimate_belongs_to_the_clone() {
    let rate = Rate::per_second(1);
    let _ = (rate.clone().estimate(5), rate.estimate(7));
}

/// As many polls as admissions: no waiter is woken for another one.
#[tokio::test(start_paused = true)]
async fn an_admission_wakes_no_herd() {
    let (clock, polls) = (Clock::start(), Arc::new(AtomicUsize::new(0)));
    let rated = Arc::new(rated(Rate::builder().per_second(10).burst(ZERO).build(), &clock));
    let counted = polls.clone();
    let counting = step(move |call: TestCall, cx: Context| {
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
    completes(counting.stream([TestCall::default(); 200], &Context::new()).limit(200).collect()).await;
    assert_eq!(clock.times().last(), Some(&ms(19_900)));
    // Each call is polled when it arrives, when it is due, and once more in its work.
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls <= 3 * 200, "{polls} polls");
}
