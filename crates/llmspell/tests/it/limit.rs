//! Limits: a permit lasts as long as the work, not as long as its caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llmspell::observe::EventKind;
use llmspell::{Breaker, Context, ErrorKind, Limit, Step, join, step};
use tokio::time::{Instant, sleep};

use crate::probe::{Probe, Watch, ms};

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_run_at_once() {
    let (watch, started) = (Watch::default(), Instant::now());
    let limited = Probe::ok(100).watched(&watch).limit(3);
    limited.stream(0..9, &Context::new()).limit(9).collect().await;
    assert_eq!(watch.most_at_once(), 3);
    assert_eq!(started.elapsed(), ms(300));
}

#[tokio::test(start_paused = true)]
async fn a_limit_can_be_shared_between_steps() {
    let watch = Watch::default();
    let connection = Limit::new(1);
    let probe = || Probe::ok(100).watched(&watch).limit(connection.clone());
    join((probe(), probe(), probe())).run(0, &Context::new()).await.unwrap();
    assert_eq!((watch.most_at_once(), connection.available()), (1, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_releases_its_permit() {
    let limit = Limit::new(1);
    let slow = Probe::ok(1000).limit(limit.clone()).timeout(ms(10));
    assert!(slow.run(0, &Context::new()).await.is_err());
    assert_eq!(limit.available(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_stored_context_releases_its_permit_and_a_hold_keeps_it() {
    let limit = Limit::new(1);
    let keep = step(|hold: bool, cx: Context| async move { Ok((hold.then(|| cx.hold()), cx)) }).limit(limit.clone());
    let stored = keep.run(false, &Context::new()).await.unwrap();
    assert_eq!(limit.available(), Some(1));
    let held = keep.run(true, &Context::new()).await.unwrap();
    assert_eq!(limit.available(), Some(0));
    drop(held);
    assert_eq!(limit.available(), Some(1));
    // Too late to hold a permit that was released.
    let _hold = stored.1.hold();
    assert_eq!(limit.available(), Some(1));
}

/// A step that ignores its timeout until it is released; several calls can run at once.
fn stubborn(release: &Arc<AtomicBool>) -> impl Step<In = (), Out = ()> {
    let release = release.clone();
    step(move |(), cx: Context| {
        let release = release.clone();
        async move {
            cx.blocking(move |_| {
                while !release.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                Ok(())
            })
            .await
        }
    })
}

#[tokio::test]
async fn an_overdraft_lends_permits_for_runaways_and_takes_them_back() {
    let (limit, release) = (Limit::new(2).overdraft(1), Arc::new(AtomicBool::new(false)));
    let runaways = stubborn(&release).limit(limit.clone()).timeout(ms(300));
    let cx = Context::new();
    assert!(runaways.run((), &cx).await.is_err());
    assert_eq!(limit.available(), Some(2), "one runaway, and one permit lent in its place");
    assert!(runaways.run((), &cx).await.is_err());
    assert_eq!(limit.available(), Some(1), "two runaways, and at most one permit lent");
    assert!(runaways.run((), &cx).await.is_err());
    assert_eq!(limit.available(), Some(0), "as many run as the limit and the overdraft allow");
    let late = step(|(), _| async { Ok(()) }).limit(limit.clone());
    assert!(late.clone().timeout(ms(300)).run((), &cx).await.is_err());
    release.store(true, Ordering::SeqCst);
    late.run((), &cx).await.unwrap();
    while limit.available() != Some(2) {
        sleep(ms(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_wait_does_not_block_the_queue() {
    let (limit, watch) = (Limit::new(1), Watch::default());
    let cx = Context::new();
    let first = Probe::ok(100).watched(&watch).limit(limit.clone());
    let impatient = Probe::ok(100).watched(&watch).limit(limit.clone()).timeout(ms(50));
    let patient = Probe::ok(100).watched(&watch).limit(limit.clone());
    let started = Instant::now();
    let group = llmspell::settle((first, impatient, patient));
    let (first, impatient, patient) = group.run(0, &cx).await.unwrap();
    assert!(first.is_ok() && !impatient.is_ok() && patient.is_ok());
    assert_eq!((started.elapsed(), watch.most_at_once(), limit.available()), (ms(200), 1, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_are_served_in_order() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = order.clone();
    let step = step(move |n: usize, _| {
        log.lock().unwrap().push(n);
        async move {
            sleep(ms(10)).await;
            Ok(n)
        }
    });
    step.limit(1).stream(0..20, &Context::new()).limit(20).collect().await;
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[test]
#[should_panic(expected = "a limit must be at least 1")]
fn a_limit_of_zero_is_rejected_at_once() {
    let _ = Limit::new(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_cannot_be_dropped_keeps_the_permit_of_its_group() {
    let (limit, release) = (Limit::new(1), Arc::new(AtomicBool::new(false)));
    let flag = release.clone();
    let spinning = step(move |(), _| {
        let flag = flag.clone();
        async move {
            while !flag.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Ok(())
        }
    });
    let group = Step::limit(llmspell::all([spinning]), limit.clone()).timeout(ms(20));
    assert!(group.run((), &Context::new()).await.is_err());
    assert_eq!(limit.available(), Some(0), "it still runs and counts");
    release.store(true, Ordering::SeqCst);
    while limit.available() == Some(0) {
        sleep(ms(1)).await;
    }
}

/// The call would wait for itself, for ever.
#[tokio::test(start_paused = true)]
async fn a_second_permit_of_the_same_limit_is_an_error_instead_of_a_deadlock() {
    let one = Limit::new(1);
    let twice = Probe::ok(10).limit(one.clone()).named("inner").limit(one.clone()).named("outer");
    let error = twice.run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), llmspell::ErrorKind::Invalid);
    assert!(error.to_string().contains("a limit that it runs under itself"), "{error}");
    assert_eq!(one.available(), Some(1));
}

#[test]
fn a_limit_can_have_any_size() {
    assert_eq!(Limit::new(usize::MAX).permits(), Some(usize::MAX));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_or_late_call_leaves_the_queue() {
    let limit = Limit::new(1);
    let (cx, canceller) = Context::recording().cancellable();
    let step = Probe::ok(1000).limit(limit.clone());
    let started = Instant::now();
    let late = cx.with_deadline(started + ms(20));
    let waits = async {
        let result = step.run(0, &cx).await;
        (result.map_err(|error| error.kind()), started.elapsed())
    };
    let times_out = async {
        let error = step.run(0, &late).await.unwrap_err();
        assert_eq!(error.message(), "the deadline had passed before the step began");
        (error.kind(), started.elapsed())
    };
    let cancels = async {
        sleep(ms(5)).await;
        assert_eq!(limit.waiting(), 2);
        sleep(ms(45)).await;
        canceller.cancel();
    };
    let (first, cancelled, late, ()) = tokio::join!(step.run(0, &cx), waits, times_out, cancels);
    assert!(first.is_ok(), "it has its permit and is not stopped");
    assert_eq!(cancelled, (Err(ErrorKind::Cancelled), ms(50)));
    assert_eq!(late, (ErrorKind::Timeout, ms(21)));
    assert_eq!((limit.waiting(), limit.available()), (0, Some(1)));
    let rejected = cx.events().iter().filter(|event| matches!(event.fact, EventKind::Refused { .. })).count();
    assert_eq!(rejected, 2, "each queued call is reported as rejected");
}

/// A timeout around the wait keeps its own message.
#[tokio::test(start_paused = true)]
async fn a_timeout_that_ends_a_wait_reports_itself() {
    let limit = Limit::new(1);
    let step = Probe::ok(1000).limit(limit.clone()).timeout(ms(20));
    let cx = Context::new();
    let (first, second) = tokio::join!(step.run(0, &cx), step.run(0, &cx));
    assert_eq!(first.unwrap_err().message(), "timed out after 20 ms");
    assert_eq!(second.unwrap_err().message(), "timed out after 20 ms");
}

/// A call whose deadline passes in the queue says nothing about the other side.
#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_without_a_permit_is_not_a_failure_of_the_step() {
    let breaker = Breaker::builder().consecutive_failures(1).build();
    let step = Probe::ok(1000).limit(1).breaker(breaker.clone());
    let cx = Context::new();
    let late = cx.with_deadline(Instant::now() + ms(20));
    let (first, second) = tokio::join!(step.run(0, &cx), step.run(0, &late));
    assert_eq!((first.is_ok(), second.unwrap_err().kind()), (true, ErrorKind::Timeout));
    assert!(breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_limit_can_be_changed_while_calls_run_and_wait() {
    let (watch, limit) = (Watch::default(), Limit::new(2));
    let limited = Probe::ok(100).watched(&watch).limit(limit.clone());
    let started = Instant::now();
    let change = async {
        sleep(ms(50)).await;
        // Three waiting calls are admitted at once.
        assert!(limit.resize(5));
        sleep(ms(1)).await;
        assert_eq!((limit.permits(), limit.available()), (Some(5), Some(0)));
        // No other call is admitted until only one is left.
        assert!(limit.resize(1));
    };
    let cx = Context::new();
    let calls = async { limited.stream(0..7, &cx).limit(7).collect().await };
    tokio::join!(calls, change);
    assert_eq!((watch.most_at_once(), limit.available()), (5, Some(1)));
    // 2 until 100, 3 until 150, then one after the other.
    assert_eq!(started.elapsed(), ms(350));
    assert!(!Limit::unlimited().resize(3));
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_limit_can_get_another_bound() {
    let limit = Limit::adaptive(llmspell::control::Adaptive::aimd().min(4).initial(8).max(64));
    assert!(limit.resize(2));
    assert_eq!(limit.permits(), Some(2));
    // It grows again as soon as it can, and no further.
    assert!(limit.resize(6));
    let limited = Probe::ok(10).limit(limit.clone());
    limited.stream(0..500, &Context::new()).limit(32).collect().await;
    assert_eq!(limit.permits(), Some(6));
}
