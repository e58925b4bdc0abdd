//! Breakers: when they open, which calls they admit, and how they reject the others.

mod hammer;
mod model;
mod on_denied;
mod recovery;
mod settings;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use llmspell::control::BreakerBuilder;
use llmspell::observe::{Event, EventKind, RejectedBy};
use llmspell::step::adapters::WithBreaker;
use llmspell::{Breaker, Context, Error, ErrorKind, Hedge, Policy, Retry, Step, race, step, value};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::probe::{Probe, Watch, ms};

/// A step that takes a millisecond and returns its input.
fn echo() -> impl Step<In = Result<u32, Error>, Out = u32> {
    step(|result: Result<u32, Error>, _| async move {
        sleep(ms(1)).await;
        result
    })
}

fn busy() -> Error {
    Error::overloaded("503")
}

/// Opens after two failures in a row, for a second.
fn touchy() -> BreakerBuilder {
    Breaker::builder().consecutive_failures(2).open_for(ms(1000)).without_jitter()
}

async fn fail<S: Step<In = Result<u32, Error>>>(step: &S, times: u32) {
    for _ in 0..times {
        assert!(step.run(Err(busy()), &Context::new()).await.is_err());
    }
}

async fn opened<S>(step: S) -> (WithBreaker<S>, Breaker)
where
    S: Step<In = Result<u32, Error>, Out = u32>,
{
    let breaker = touchy().build();
    let step = step.breaker(breaker.clone());
    fail(&step, 2).await;
    assert!(!breaker.is_closed());
    (step, breaker)
}

#[tokio::test(start_paused = true)]
async fn it_opens_at_the_failure_rate_and_rejects_without_running() {
    let watch = Watch::default();
    let seen = watch.clone();
    let step = step(move |n: u32, _| {
        let alive = seen.enter();
        async move {
            alive.complete();
            if n.is_multiple_of(2) { Ok(n) } else { Err(Error::failed("no").transient()) }
        }
    });
    let step = step.named("ask").breaker(Breaker::new());
    let cx = Context::new();
    for n in 0..20 {
        assert_eq!(step.run(n, &cx).await.is_ok(), n % 2 == 0, "{n}");
    }
    let rejected = step.run(20, &cx).await.unwrap_err();
    assert_eq!((rejected.kind(), watch.begun()), (ErrorKind::Rejected, 20));
    assert_eq!(
        rejected.to_string(),
        "ask: not called: the breaker is open because 10 of 20 calls failed within 30 s (50 %), most recently: ask: no"
    );
    let wait = rejected.retry_after().unwrap();
    assert!((ms(5000)..ms(6250)).contains(&wait), "{wait:?}");
    assert!(rejected.hint().unwrap().starts_with("retry in "), "{rejected:#}");
    assert!(rejected.is_transient());
}

#[tokio::test(start_paused = true)]
async fn a_few_calls_do_not_open_it() {
    let breaker = Breaker::new();
    let step = echo().breaker(breaker.clone());
    fail(&step, 19).await;
    assert!(breaker.is_closed());
    fail(&step, 1).await;
    assert!(!breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn errors_that_the_other_side_did_not_cause_do_not_count() {
    let breaker = Breaker::builder().consecutive_failures(1).when(|_| true).build();
    let step = echo().breaker(breaker.clone());
    for kind in [ErrorKind::Rejected, ErrorKind::Cancelled, ErrorKind::Invalid] {
        step.run(Err(Error::new(kind, "x").transient()), &Context::new()).await.unwrap_err();
        assert!(breaker.is_closed(), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn by_default_timeouts_overload_panics_denials_and_transient_errors_count() {
    for kind in [ErrorKind::Timeout, ErrorKind::Overloaded, ErrorKind::Panicked, ErrorKind::Denied, ErrorKind::Failed] {
        for transient in [true, false] {
            let breaker = Breaker::builder().consecutive_failures(1).build();
            let error = Error::new(kind, "x");
            let error = if transient { error.transient() } else { error.permanent() };
            echo().breaker(breaker.clone()).run(Err(error), &Context::new()).await.unwrap_err();
            assert_eq!(breaker.is_closed(), kind == ErrorKind::Failed && !transient, "{kind} {transient}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_an_answer_ends_consecutive_failures() {
    let breaker = touchy().build();
    let step = echo().breaker(breaker.clone());
    for _ in 0..5 {
        fail(&step, 1).await;
        step.run(Err(Error::failed("404").permanent()), &Context::new()).await.unwrap_err();
    }
    assert!(breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_retry_counts_as_its_last_attempt() {
    let tried = |last: Error| {
        let attempts = Arc::new(AtomicUsize::new(0));
        step(move |_: Result<u32, Error>, _| {
            let error = if attempts.fetch_add(1, Ordering::SeqCst) == 0 { busy() } else { last.clone() };
            async move { Err::<u32, _>(error) }
        })
        .retry(Retry::immediately().max_attempts(2))
    };
    for (last, counts) in [(Error::denied("402"), true), (Error::new(ErrorKind::Rejected, "x"), false)] {
        let breaker =
            Breaker::builder().consecutive_failures(1).when(|error| error.kind() == ErrorKind::Denied).build();
        let error = tried(last).breaker(breaker.clone()).run(Ok(0), &Context::new()).await.unwrap_err();
        assert_eq!((error.kind(), breaker.is_closed()), (ErrorKind::AllFailed, !counts));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_wherever_it_is_caught() {
    for early in [true, false] {
        let breaker = Breaker::builder().consecutive_failures(2).build();
        let panics = step(move |_: u32, _| {
            assert!(!early, "before there is a future");
            async move { if early { Ok(0) } else { panic!("in the future") } }
        });
        let step = Arc::new(panics.breaker(breaker.clone()));
        let outcomes = step.clone().stream(0..2, &Context::new()).limit(1).collect().await;
        assert!(outcomes.iter().all(|outcome| outcome.result.as_ref().unwrap_err().kind() == ErrorKind::Panicked));
        assert!(!breaker.is_closed(), "{early}");
    }
}

/// A panic elsewhere that drops a call in flight says nothing about the other side.
#[tokio::test(start_paused = true)]
async fn a_call_that_another_panic_drops_has_not_failed() {
    let breaker = Breaker::builder().consecutive_failures(1).build();
    let guarded = Arc::new(echo().breaker(breaker.clone()));
    let consumer = step(move |(), _| {
        let guarded = guarded.clone();
        async move {
            let cx = Context::new();
            let mut call = std::pin::pin!(guarded.run(Ok(1), &cx));
            let started = std::future::poll_fn(|task| Poll::Ready(call.as_mut().poll(task).is_pending())).await;
            assert!(!started, "the consumer");
            Ok(())
        }
    });
    let outcome = consumer.stream([()], &Context::new()).next().await.unwrap();
    assert_eq!(outcome.result.unwrap_err().kind(), ErrorKind::Panicked);
    assert!(breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_succeeds_closes_it() {
    let (step, breaker) = opened(echo()).await;
    sleep(ms(999)).await;
    assert_eq!(step.run(Ok(1), &Context::new()).await.unwrap_err().kind(), ErrorKind::Rejected);
    sleep(ms(1)).await;
    assert_eq!(step.run(Ok(1), &Context::new()).await.unwrap(), 1);
    assert!(breaker.is_closed());
    fail(&step, 1).await;
    assert!(breaker.is_closed(), "earlier failures are forgotten");
}

#[tokio::test(start_paused = true)]
async fn half_open_admits_one_call_and_tells_the_others_when_to_retry() {
    let (step, breaker) = opened(echo()).await;
    sleep(ms(1000)).await;
    let cx = Context::new();
    let calls = (0..50).map(|_| Ok(1));
    let outcomes = Arc::new(step).stream(calls, &cx).limit(50).collect().await;
    let rejected: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()).collect();
    assert_eq!(rejected.len(), 49);
    assert!(rejected.iter().all(|error| error.retry_after() == Some(ms(1000))));
    assert_eq!(
        rejected[0].to_string(),
        "not called: the breaker waits for its probes; it opened because 2 calls in a row failed, most recently: 503"
    );
    assert!(breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn several_probes_must_all_succeed() {
    let breaker = touchy().probes(3).build();
    let step = Arc::new(echo().breaker(breaker.clone()));
    fail(&step, 2).await;
    sleep(ms(1000)).await;
    let cx = Context::new();
    let outcomes = step.clone().stream((0..4).map(Ok), &cx).limit(4).collect().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3, "three at a time");
    assert!(breaker.is_closed());

    fail(&step, 2).await;
    sleep(ms(1000)).await;
    for _ in 0..2 {
        step.run(Ok(1), &cx).await.unwrap();
        assert!(!breaker.is_closed());
    }
    fail(&step, 1).await;
    assert_eq!(step.run(Ok(1), &cx).await.unwrap_err().kind(), ErrorKind::Rejected, "open again");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_opens_it_for_longer_up_to_a_bound() {
    let breaker = touchy().max_open(ms(5000)).build();
    let step = echo().breaker(breaker.clone());
    fail(&step, 2).await;
    for (round, open) in [1000, 2000, 4000, 5000, 5000].into_iter().enumerate() {
        let rejected = step.run(Ok(1), &Context::new()).await.unwrap_err();
        assert_eq!(rejected.retry_after(), Some(ms(open)), "round {round}");
        assert_eq!(rejected.message().contains("a probe failed: 503"), round > 0, "{rejected}");
        sleep(ms(open)).await;
        assert_eq!(step.run(Err(busy()), &Context::new()).await.unwrap_err().kind(), ErrorKind::Overloaded);
    }
    sleep(ms(5000)).await;
    step.run(Ok(1), &Context::new()).await.unwrap();
    fail(&step, 2).await;
    let rejected = step.run(Ok(1), &Context::new()).await.unwrap_err();
    assert_eq!(rejected.retry_after(), Some(ms(1000)), "once closed, it starts anew");
}

/// Many breakers open together. No tenth of the time over which they spread gets much more than its share.
#[tokio::test(start_paused = true)]
async fn breakers_that_open_together_do_not_probe_together() {
    let mut slots = [0; 10];
    for _ in 0..1000 {
        let step = echo().breaker(Breaker::builder().consecutive_failures(1).open_for(ms(4000)).build());
        step.run(Err(busy()), &Context::new()).await.unwrap_err();
        let wait = step.run(Ok(1), &Context::new()).await.unwrap_err().retry_after().unwrap();
        slots[((wait - ms(4000)).as_millis() / 100) as usize] += 1;
    }
    assert!(slots.iter().all(|slot| (50..170).contains(slot)), "{slots:?}");
}

#[tokio::test(start_paused = true)]
async fn it_stays_open_as_long_as_the_other_side_asked() {
    let breaker = touchy().build();
    let step = echo().breaker(breaker.clone());
    let asked = busy().with_retry_after(Duration::from_secs(90));
    step.run(Err(asked), &Context::new()).await.unwrap_err();
    fail(&step, 1).await;
    let rejected = step.run(Ok(1), &Context::new()).await.unwrap_err();
    assert_eq!(rejected.retry_after(), Some(ms(89_999)), "also if it was not the last failure that asked");
}

/// A step that returns its input, but hangs instead of succeeding while the flag is set.
fn hanging(flag: &Arc<AtomicBool>) -> impl Step<In = Result<u32, Error>, Out = u32> {
    let flag = flag.clone();
    step(move |result: Result<u32, Error>, _| {
        let hangs = result.is_ok() && flag.load(Ordering::SeqCst);
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            result
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_allows_another_and_decides_nothing() {
    let hangs = Arc::new(AtomicBool::new(true));
    let breaker = touchy().build();
    let step = Arc::new(hanging(&hangs).idempotent().breaker(breaker.clone()));
    fail(&step, 2).await;
    sleep(ms(1000)).await;
    let cx = Context::new();
    for _ in 0..3 {
        let error = step.clone().timeout(ms(10)).run(Ok(1), &cx).await.unwrap_err();
        assert_eq!((error.kind(), breaker.is_closed()), (ErrorKind::Timeout, false));
        assert_eq!(race((step.clone(), value(2u32))).run(Ok(1), &cx).await.unwrap(), 2);
        drop(step.clone().stream([Ok(1)], &cx).next());
    }
    // A hedge of a probe is rejected, and does not count as a probe.
    let hedged = step.clone().hedge(Hedge::after(ms(5))).timeout(ms(20));
    assert_eq!(hedged.run(Ok(1), &cx).await.unwrap_err().kind(), ErrorKind::Timeout);
    hangs.store(false, Ordering::SeqCst);
    assert_eq!(step.run(Ok(1), &cx).await.unwrap(), 1, "another probe is admitted");
    assert!(breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_can_count() {
    let hangs = Arc::new(AtomicBool::new(true));
    let breaker = touchy().counting_dropped().build();
    let step = hanging(&hangs).breaker(breaker.clone()).timeout(ms(10));
    for closed in [true, false] {
        step.run(Ok(1), &Context::new()).await.unwrap_err();
        assert_eq!(breaker.is_closed(), closed);
    }
    sleep(ms(1000)).await;
    step.run(Ok(1), &Context::new()).await.unwrap_err();
    let rejected = step.run(Ok(1), &Context::new()).await.unwrap_err();
    assert!(rejected.message().contains("a probe failed: dropped before it ended"), "{rejected}");
}

/// Calls are running when it opens. Their outcomes have no effect any more.
#[tokio::test(start_paused = true)]
async fn calls_from_before_it_opened_have_no_effect() {
    let breaker = touchy().build();
    let late = step(|(delay, result): (u64, Result<u32, Error>), _| async move {
        sleep(ms(delay)).await;
        result
    });
    let step = Arc::new(late.breaker(breaker.clone()));
    let cx = Context::new();
    let calls = [(1, Err(busy())), (2, Err(busy())), (1100, Err(busy())), (1200, Ok(1))];
    let mut old = step.clone().stream(calls, &cx);
    for _ in 0..2 {
        old.next().await.unwrap();
    }
    assert!(!breaker.is_closed());
    sleep(ms(1050)).await;
    // Half-open: while the probe runs, an old call fails and another succeeds.
    let mut probe = step.clone().stream([(500, Ok(1))], &cx);
    let both = async { (old.next().await, old.next().await) };
    let ((failed, succeeded), probed) = tokio::join!(both, async {
        let rejected = async {
            sleep(ms(400)).await;
            step.run((0, Ok(1)), &cx).await.unwrap_err()
        };
        let (probed, rejected) = tokio::join!(probe.next(), rejected);
        assert!(rejected.message().contains("waits for its probes"), "{rejected}");
        probed
    });
    assert!(!failed.unwrap().is_ok() && succeeded.unwrap().is_ok() && probed.unwrap().is_ok());
    assert!(breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn calls_older_than_the_window_are_forgotten() {
    let breaker = Breaker::builder().min_calls(4).window(ms(10_000)).build();
    let step = echo().breaker(breaker.clone());
    fail(&step, 3).await;
    sleep(ms(10_000)).await;
    fail(&step, 3).await;
    assert!(breaker.is_closed(), "a long idle time empties the window");
    sleep(ms(4000)).await;
    for _ in 0..4 {
        step.run(Ok(1), &Context::new()).await.unwrap();
    }
    sleep(ms(6000)).await;
    fail(&step, 1).await;
    assert!(breaker.is_closed(), "one of five: the early failures are gone");
}

#[tokio::test(start_paused = true)]
async fn clones_share_their_state() {
    let breaker = touchy().build();
    let (read, write) = (echo().breaker(breaker.clone()), echo().breaker(breaker.clone()));
    fail(&read, 1).await;
    fail(&write, 1).await;
    assert!(!breaker.is_closed());
    breaker.reset(&Context::new());
    assert_eq!(read.run(Ok(1), &Context::new()).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn clones_share_their_state_and_breakers_of_one_builder_do_not() {
    let settings = touchy();
    let (breaker, other) = (settings.clone().build(), settings.build());
    let clone = breaker.clone();
    fail(&echo().breaker(breaker.clone()), 2).await;
    assert_eq!((breaker.is_closed(), clone.is_closed(), other.is_closed()), (false, false, true));
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_reported_to_its_context() {
    let breaker = touchy().build();
    let (step, cx) = (echo().breaker(breaker.clone()), Context::recording());
    breaker.reset(&cx);
    assert_eq!(cx.events(), [], "it was closed");
    fail(&step, 2).await;
    breaker.reset(&cx);
    assert!(matches!(cx.events()[..], [Event { fact: EventKind::BreakerClosed { step: None, .. }, .. }]));
}

#[tokio::test(start_paused = true)]
async fn a_retry_around_it_waits_for_the_probe_instead_of_wasting_its_attempts() {
    let (step, _) = opened(echo()).await;
    let (started, cx) = (Instant::now(), Context::new());
    let patient = Arc::new(step).retry(Retry::exponential().base(ms(1)).max_attempts(2));
    let outcome = patient.with_outcome().run(Ok(1), &cx).await.unwrap();
    assert_eq!((outcome.result.unwrap(), outcome.provenance.retries), (1, 1));
    assert_eq!(started.elapsed(), ms(1001));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_cannot_wait_that_long_gives_up_at_once() {
    let (step, _) = opened(echo()).await;
    let step = Arc::new(step);
    for impatient in [
        step.clone().retry(Retry::exponential().max_wait(ms(500))).boxed(),
        step.clone().retry(Retry::exponential()).deadline(ms(500)).boxed(),
    ] {
        let started = Instant::now();
        let outcome = impatient.fallback(value(7u32)).with_outcome().run(Ok(1), &Context::new()).await.unwrap();
        assert_eq!((outcome.result.unwrap(), started.elapsed()), (7, ms(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_wait_for_a_breaker_that_stays_open() {
    let breaker = Breaker::builder().consecutive_failures(1).until_reset().build();
    let step = Arc::new(echo().breaker(breaker.clone()));
    fail(&step, 1).await;
    sleep(Duration::from_secs(1_000_000)).await;
    let started = Instant::now();
    let error = step.clone().retry(Retry::exponential()).run(Ok(1), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after(), error.attempts()), (ErrorKind::Rejected, None, 1));
    assert_eq!((error.is_transient(), started.elapsed()), (false, ms(0)));
    breaker.reset(&Context::new());
    assert_eq!(step.run(Ok(1), &Context::new()).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn rejections_of_an_inner_breaker_do_not_trip_an_outer_one() {
    let (inner, outer) =
        (touchy().until_reset().build(), Breaker::builder().consecutive_failures(3).when(|_| true).build());
    let step = echo().breaker(inner).retry(Retry::immediately().max_attempts(2)).breaker(outer.clone());
    for _ in 0..20 {
        step.run(Err(busy()), &Context::new()).await.unwrap_err();
    }
    assert!(outer.is_closed());
}

#[tokio::test(start_paused = true)]
async fn events_report_every_change_and_the_report_counts_rejections() {
    for in_front in [true, false] {
        let breaker = touchy().build();
        let step = if in_front {
            echo().named("ask").breaker(breaker).boxed()
        } else {
            echo().breaker(breaker).named("ask").boxed()
        };
        let cx = Context::recording();
        for wait in [0, 0, 0, 0, 1000, 2000] {
            sleep(ms(wait)).await;
            let result = if wait == 2000 { Ok(1) } else { Err(busy()) };
            let _ = step.run(result, &cx).await;
        }
        let mut seen = Vec::new();
        for event in cx.events() {
            let json = serde_json::to_value(&event).unwrap();
            if json["fact"]["event"].as_str().unwrap().starts_with("breaker_")
                || matches!(event.fact, EventKind::Refused { by: RejectedBy::Breaker, .. })
            {
                assert_eq!(event.path.as_str(), if in_front { "" } else { "ask" });
                let mut fact = json["fact"].clone();
                let step = fact.as_object_mut().unwrap().remove("step");
                assert_eq!(step, in_front.then(|| "ask".into()));
                assert_eq!(serde_json::from_value::<llmspell::observe::Event>(json).unwrap(), event);
                seen.push(fact);
            }
        }
        let opened = |failures: u32, ms: f64| {
            json!({
                "event": "breaker_opened", "failures": failures, "calls": failures, "for_ms": ms,
                "error": { "kind": "overloaded", "message": "503" },
            })
        };
        let last = if in_front { "ask: 503" } else { "503" };
        let message = format!("not called: the breaker is open because 2 calls in a row failed, most recently: {last}");
        let error = json!({ "kind": "rejected", "message": message });
        let rejected = json!({ "event": "refused", "by": "breaker", "error": error });
        let [half_open, closed] = ["half_open", "closed"].map(|name| json!({ "event": format!("breaker_{name}") }));
        let wanted =
            [opened(2, 1000.0), rejected.clone(), rejected, half_open.clone(), opened(1, 2000.0), half_open, closed];
        assert_eq!(seen, wanted);
        let report = cx.report();
        assert_eq!((report.steps[0].path.as_str(), report.steps[0].refused), ("ask", 2));
        assert_eq!(report.steps[0].calls, if in_front { 4 } else { 6 });
        assert!(report.to_string().contains("refused"));
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_are_rejected_when_it_opens() {
    let watch = Watch::default();
    let probe = Probe { error: Some(busy()), ..Probe::ok(10).watched(&watch) };
    let breaker = touchy().build();
    let policy = Policy::new().breaker(breaker.clone()).limit(2);
    let outcomes = probe.policy(policy).stream(0..100, &Context::new()).limit(100).collect().await;
    assert_eq!(watch.begun(), 2, "none of the waiting calls");
    let rejected = |error: &Error| error.kind() == ErrorKind::Rejected && error.retry_after().is_some();
    assert_eq!(outcomes.iter().filter(|outcome| rejected(outcome.result.as_ref().unwrap_err())).count(), 98);

    sleep(ms(1000)).await;
    let again = Policy::new().breaker(breaker.clone()).limit(2);
    assert_eq!(Probe::ok(1).policy(again).run(1, &Context::new()).await.unwrap(), 1, "a probe is admitted");
    assert!(breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn in_a_policy_it_sees_each_attempt_with_its_timeout() {
    let breaker = touchy().build();
    let policy = Policy::new()
        .timeout(ms(10))
        .breaker(breaker.clone())
        .retry(Retry::immediately().max_attempts(3))
        .deadline(ms(500));
    let error = Probe::ok(100).policy(policy).run(1, &Context::new()).await.unwrap_err();
    assert_eq!(
        error.causes().iter().map(Error::kind).collect::<Vec<_>>(),
        [ErrorKind::Timeout, ErrorKind::Timeout, ErrorKind::Rejected]
    );
    assert!(error.message().contains("before the deadline") || error.attempts() == 3, "{error}");
    assert!(!breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_from_before_it_opened_are_not_probes() {
    let (begun, kept) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
    let (count, keep) = (begun.clone(), kept.clone());
    // The first call fails, and its remaining work keeps the only permit.
    let ask = step(move |(): (), cx: Context| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let keep = keep.clone();
        async move {
            if first {
                let (_caller_guard, work_guard) = cx.detached_work();
                *keep.lock().unwrap() = Some(work_guard);
                return Err(Error::overloaded("503"));
            }
            Ok(())
        }
    });
    let breaker = Breaker::builder().consecutive_failures(1).open_for(ms(5_000)).without_jitter().build();
    let ask = Arc::new(ask.policy(Policy::new().breaker(breaker).limit(1)));
    let cx = Context::new();
    let early = async {
        let outcomes = ask.clone().stream(vec![(); 6], &cx).limit(6).collect().await;
        outcomes.into_iter().filter_map(|outcome| outcome.result.err()).map(|error| error.kind()).collect::<Vec<_>>()
    };
    let late = async {
        sleep(ms(6_000)).await;
        let free = async {
            sleep(ms(10)).await;
            drop(kept.lock().unwrap().take());
        };
        let (probe, ()) = tokio::join!(ask.run((), &cx), free);
        probe
    };
    let (kinds, probe) = tokio::join!(early, late);
    probe.unwrap();
    assert_eq!(kinds.iter().filter(|kind| **kind == ErrorKind::Rejected).count(), 5, "{kinds:?}");
    assert_eq!(begun.load(Ordering::SeqCst), 2, "the first call and the probe");
}
