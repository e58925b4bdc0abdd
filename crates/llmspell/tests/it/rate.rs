//! Rates: calls in order and on time, tokens by reservation and settlement, and feedback of the server.

mod properties;
mod queue;
mod server;
mod set_rate;
mod start;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::observe::{EventKind, RejectedBy, Usage, WaitKind};
use llmspell::{Context, Error, ErrorKind, Outcome, Policy, Rate, Result, Retry, Step, join, step};
use tokio::time::{Instant, sleep};

use crate::probe::{Probe, ms};
use crate::wait::{completes, spawn_call, spawn_task, until};

const ZERO: Duration = Duration::ZERO;

/// The times at which calls began, since the clock was started.
#[derive(Clone)]
struct Clock(Instant, Arc<Mutex<Vec<Duration>>>);

impl Clock {
    fn start() -> Self {
        Clock(Instant::now(), Arc::default())
    }

    fn times(&self) -> Vec<Duration> {
        self.1.lock().unwrap().clone()
    }

    fn tick(&self) {
        self.1.lock().unwrap().push(self.0.elapsed());
    }
}

/// The behaviour of one call.
#[derive(Clone, Copy, Debug, Default)]
struct TestCall {
    /// The estimated tokens.
    expected: u64,
    /// The tokens that it reports.
    used: Option<u64>,
    takes: u64,
    /// The error with which it fails.
    error: Option<fn() -> Error>,
}

fn call(expected: u64, used: u64, takes: u64) -> TestCall {
    TestCall { expected, used: Some(used), takes, error: None }
}

fn failing(error: fn() -> Error) -> TestCall {
    TestCall { takes: 1, error: Some(error), ..TestCall::default() }
}

/// A step that behaves as its input says, under a rate.
fn rated(rate: Rate, clock: &Clock) -> impl Step<In = TestCall, Out = ()> + Clone {
    let clock = clock.clone();
    let work = step(move |call: TestCall, cx: Context| {
        clock.tick();
        async move {
            sleep(ms(call.takes)).await;
            if let Some(tokens) = call.used {
                cx.record_usage(Usage::new(tokens / 2, tokens - tokens / 2));
            }
            call.error.map_or(Ok(()), |error| Err(error()))
        }
    });
    work.rate(rate).estimate(|call| call.expected)
}

async fn run_all(
    step: impl Step<In = TestCall, Out = ()>,
    calls: impl IntoIterator<Item = TestCall>,
) -> Vec<Outcome<()>> {
    let calls: Vec<TestCall> = calls.into_iter().collect();
    let all = calls.len().max(1);
    completes(step.stream(calls, &Context::new()).limit(all).ordered().collect()).await
}

#[tokio::test(start_paused = true)]
async fn calls_start_at_the_rate_after_the_burst() {
    let clock = Clock::start();
    let step = rated(Rate::builder().per_second(10).burst(ms(300)).build(), &clock);
    run_all(step, [TestCall::default(); 7]).await;
    assert_eq!(clock.times(), [0, 0, 0, 100, 200, 300, 400].map(ms));
}

#[tokio::test(start_paused = true)]
async fn the_default_burst_is_a_tenth_of_the_period() {
    let clock = Clock::start();
    run_all(rated(Rate::per_minute(60), &clock), [TestCall::default(); 8]).await;
    assert_eq!(clock.times(), [0, 0, 0, 0, 0, 0, 1000, 2000].map(ms));
    let clock = Clock::start();
    run_all(rated(Rate::per_second(2), &clock), [TestCall::default(); 3]).await;
    assert_eq!(clock.times(), [0, 500, 1000].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_shared_by_the_steps_that_use_it() {
    let (rate, clock) = (Rate::builder().per_second(10).burst(ZERO).build(), Clock::start());
    let (a, b) = (rated(rate.clone(), &clock), rated(rate.clone(), &clock));
    completes(join((a, b)).stream([TestCall::default(); 3], &Context::new()).limit(3).collect()).await;
    assert_eq!(clock.times(), [0, 100, 200, 300, 400, 500].map(ms));
    assert_eq!(rate.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_tokens() {
    let clock = Clock::start();
    // A thousand per second; a burst of a thousand.
    let rate = Rate::builder().tokens_per_minute(60_000).burst(ms(1000)).build();
    run_all(rated(rate, &clock), [call(400, 400, 0); 5]).await;
    assert_eq!(clock.times(), [0, 0, 200, 600, 1000].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_call_needs_both_a_request_and_tokens() {
    let clock = Clock::start();
    let rate = Rate::builder().per_second(10).tokens_per_minute(60_000).burst(ZERO).build();
    let calls = [call(1, 1, 0), call(1, 1, 0), call(500, 500, 0), call(1, 1, 0)];
    run_all(rated(rate, &clock), calls).await;
    // The bucket holds less than the call needs. The call starts when the bucket is full, and the next one waits
    // longer.
    assert_eq!(clock.times(), [0, 100, 200, 700].map(ms));
}

#[tokio::test(start_paused = true)]
async fn unused_tokens_are_refunded_and_excess_tokens_are_owed() {
    let rate = || Rate::builder().tokens_per_minute(60_000).burst(ms(1000)).build();
    let clock = Clock::start();
    // The first call refunds 900 when it ends, after 100 ms. Without that, the second would wait for 1 s.
    run_all(rated(rate(), &clock), [call(1000, 100, 100), call(1000, 1000, 0)]).await;
    assert_eq!(clock.times(), [0, 100].map(ms));

    let clock = Clock::start();
    // It reports 3000 instead of 1000, half a second after the start: 2000 are owed when the first call is done.
    run_all(rated(rate(), &clock), [call(1000, 3000, 500), call(1, 1, 0)]).await;
    assert_eq!(clock.times(), [0, 1].map(ms), "the second call started before that was known");
    let clock = Clock::start();
    let step = rated(rate(), &clock);
    run_all(step.clone(), [call(1000, 3000, 500)]).await;
    run_all(step, [call(500, 1, 0)]).await;
    assert_eq!(clock.times(), [0, 2500].map(ms), "0 + 500 − 2000, and 500 needed");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_reports_nothing_is_charged_its_estimate() {
    let clock = Clock::start();
    let step = rated(Rate::builder().tokens_per_minute(60_000).burst(ms(1000)).build(), &clock);
    let silent = TestCall { used: None, ..call(1000, 0, 10) };
    run_all(step.clone(), [silent, silent]).await;
    assert_eq!(clock.times(), [0, 1000].map(ms));
    // The way in which it ends does not matter.
    let stopped = step.clone().timeout(ms(5));
    assert!(stopped.run(silent, &Context::new()).await.is_err(), "at first it cannot be admitted in time");
    sleep(ms(5000)).await;
    assert!(stopped.run(silent, &Context::new()).await.is_err());
    run_all(step, [silent]).await;
    assert_eq!(clock.times()[2..], [6010, 7010].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_fixed_estimate_belongs_to_the_clone_and_the_quota_is_shared() {
    let rate = Rate::builder().tokens_per_minute(60_000).burst(ms(1000)).build();
    let (plan, write) = (rate.clone().estimate(100), rate.estimate(900));
    let clock = Clock::start();
    let begin = || {
        let clock = clock.clone();
        step(move |(), _| {
            clock.tick();
            async { Ok(()) }
        })
    };
    let both = begin().rate(plan).then(begin().rate(write.clone())).then(begin().rate(write));
    both.run((), &Context::new()).await.unwrap();
    assert_eq!(clock.times(), [0, 0, 900].map(ms));
}

#[tokio::test(start_paused = true)]
async fn without_an_estimate_a_step_learns_what_it_uses() {
    let clock = Clock::start();
    let seen = clock.clone();
    let work = step(move |tokens: u64, cx: Context| {
        seen.tick();
        async move {
            cx.record_usage(Usage::new(tokens, 0));
            sleep(ms(10)).await;
            Ok(())
        }
    });
    let work = work.rate(Rate::builder().tokens_per_minute(60_000).burst(ms(1000)).build());
    let cx = Context::new();
    work.run(500, &cx).await.unwrap();
    // Its estimate is 500 again. The bucket holds 510 when it arrives.
    work.run(100, &cx).await.unwrap();
    assert_eq!(clock.times(), [0, 10].map(ms));
    // Now the estimate is 450, and the bucket holds 420: 510 − 100 + 10.
    work.run(100, &cx).await.unwrap();
    assert_eq!(clock.times().last(), Some(&ms(50)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_meet_its_deadline_is_rejected_at_once() {
    let (rate, clock) = (Rate::builder().per_second(1).burst(ZERO).build(), Clock::start());
    let step = rated(rate.clone(), &clock);
    let cx = Context::recording();
    let outcomes = step.timeout(ms(2500)).named("ask").stream([TestCall::default(); 5], &cx).limit(5).collect().await;
    let errors: Vec<&Error> = outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()).collect();
    // Calls start at 0 s, 1 s and 2 s; those at 3 s and 4 s would be too late.
    assert_eq!(errors.len(), 2);
    assert_eq!(errors[0].kind(), ErrorKind::Rejected);
    // Rejected calls take no place in the queue, so both report the same time.
    assert_eq!(errors.iter().map(|error| error.retry_after().unwrap()).collect::<Vec<_>>(), [ms(3000), ms(3000)]);
    assert!(errors[0].hint().is_some());
    let expected = "ask: the rate admits no call before the deadline: the next one starts in 3 s, and 2.5 s are left";
    assert_eq!(errors[0].to_string(), expected);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    let reported: Vec<Duration> = cx
        .events()
        .iter()
        .filter(|e| matches!(e.fact, EventKind::Refused { by: RejectedBy::Rate, .. }))
        .map(|e| e.at)
        .collect();
    assert_eq!(reported, [ZERO, ZERO], "at once, and not after a useless wait");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_wait_makes_room() {
    let (rate, clock) = (Rate::builder().per_second(10).burst(ZERO).build(), Clock::start());
    let step = Arc::new(rated(rate.clone(), &clock));
    let cx = Context::new();
    let waiter = || spawn_call(&step, TestCall::default(), &cx);
    let impatient = |after| {
        let (step, cx) = (step.clone(), cx.clone());
        spawn_task(async move { tokio::time::timeout(ms(after), step.run(TestCall::default(), &cx)).await })
    };
    // The second call leaves at the head of the queue, the third before it gets there.
    let all = (waiter(), impatient(50), impatient(60), waiter(), waiter());
    let (a, b, c, d, e) = completes(async { tokio::join!(all.0, all.1, all.2, all.3, all.4) }).await;
    assert!(a.is_ok() && b.is_err() && c.is_err() && d.is_ok() && e.is_ok());
    assert_eq!(clock.times(), [0, 100, 200].map(ms));
    assert_eq!(rate.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_rate_is_reported_apart_from_waiting_for_a_permit() {
    let cx = Context::recording();
    let step = Probe::ok(10).rate(Rate::builder().per_second(10).burst(ZERO).build()).named("ask");
    step.stream([0; 3], &cx).limit(3).collect().await;
    let queued: Vec<(WaitKind, Duration)> = cx
        .events()
        .iter()
        .filter_map(|event| match event.fact {
            EventKind::Admitted { queue, waited, .. } => Some((queue, waited)),
            _ => None,
        })
        .collect();
    assert_eq!(queued, [(WaitKind::Rate, ms(100)), (WaitKind::Rate, ms(200))]);
    let report = cx.report();
    assert_eq!((report.steps[0].waited, report.steps[0].busy), (ms(300), ms(30)));
    let event = cx.events().into_iter().find(|event| matches!(event.fact, EventKind::Queued { .. })).unwrap();
    assert_eq!(serde_json::to_value(event.fact).unwrap(), serde_json::json!({"event": "queued", "queue": "rate"}));
}

/// Work on a thread that outlives its caller, and reports its usage once it is released.
fn stubborn(used: u64) -> (impl Step<In = (), Out = ()>, Arc<AtomicBool>) {
    let release = Arc::new(AtomicBool::new(false));
    let flag = release.clone();
    let work = step(move |(), cx: Context| {
        let flag = flag.clone();
        async move {
            cx.blocking(move |cx| {
                while !flag.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                cx.record_usage(Usage::new(used, 0));
                Ok(())
            })
            .await
        }
    });
    (work, release)
}

/// Returns how long a call of `tokens` would have to wait.
async fn wait_for(rate: &Rate, tokens: u64) -> Duration {
    let cx = Context::new().with_deadline(Instant::now());
    let result = Probe::ok(0).rate(rate.clone().estimate(tokens)).run(0, &cx).await;
    result.err().map_or(ZERO, |error| error.retry_after().unwrap())
}

#[tokio::test]
async fn late_usage_is_charged_as_well() {
    let rate = Rate::builder().tokens_per_minute(60_000).burst(ms(1000)).build();
    let (work, release) = stubborn(3_600_000);
    assert!(work.rate(rate.clone()).timeout(ms(300)).run((), &Context::new()).await.is_err());
    assert_eq!(wait_for(&rate, 1).await, ZERO);
    release.store(true, Ordering::SeqCst);
    until(async || wait_for(&rate, 1).await >= ms(3_500_000)).await;
}

#[tokio::test]
async fn unused_reservations_of_late_work_are_refunded() {
    let rate = Rate::builder().tokens_per(1000, ms(3_600_000)).burst(ms(3_600_000)).build();
    let (work, release) = stubborn(1);
    assert!(work.rate(rate.clone().estimate(1000)).timeout(ms(300)).run((), &Context::new()).await.is_err());
    assert!(wait_for(&rate, 999).await > ms(3_000_000));
    release.store(true, Ordering::SeqCst);
    until(async || wait_for(&rate, 999).await == ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_inside_a_call_is_charged_once() {
    let rate = Rate::builder().tokens_per_minute(60_000).burst(ms(1000)).build().estimate(400);
    let inner = step(|(), cx: Context| async move {
        cx.record_usage(Usage::new(400, 0));
        Ok(())
    });
    let nested = inner.rate(rate.clone()).rate(rate.clone());
    nested.run((), &Context::new()).await.unwrap();
    let clock = Clock::start();
    // 600 of 1000 are left, so this call does not wait.
    Probe::ok(0).rate(rate.estimate(600)).run(0, &Context::new()).await.unwrap();
    clock.tick();
    assert_eq!(clock.times(), [ZERO]);
}

#[tokio::test(start_paused = true)]
async fn in_a_policy_each_attempt_is_admitted_before_its_permit() {
    let clock = Clock::start();
    let seen = clock.clone();
    let flaky = step(move |(), cx: Context| {
        seen.tick();
        async move { if cx.attempt() < 3 { Err(Error::failed("flaky").transient()) } else { Ok(()) } }
    });
    let rate = Rate::builder().per_second(1).burst(ZERO).build();
    let policy = Policy::new().retry(Retry::immediately()).rate(rate).limit(1).timeout(ms(10));
    let cx = Context::recording();
    let outcome = flaky.policy(policy).with_outcome().run((), &cx).await.unwrap();
    assert_eq!((outcome.is_ok(), outcome.provenance.retries), (true, 2));
    assert_eq!(clock.times(), [0, 1000, 2000].map(ms), "waiting does not count against the timeout of the attempt");
}

#[tokio::test(start_paused = true)]
async fn an_unlimited_rate_admits_everything() {
    let clock = Clock::start();
    let outcomes = run_all(rated(Rate::unlimited(), &clock), [call(1000, 1000, 0); 100]).await;
    let results: Result<Vec<()>> = outcomes.into_iter().map(|outcome| outcome.result).collect();
    assert_eq!(results.unwrap().len(), 100);
    assert_eq!(clock.times(), [ZERO; 100]);
}

#[test]
#[should_panic(expected = "a rate must be at least 1")]
fn a_rate_of_zero_is_rejected_at_once() {
    let _ = Rate::per_minute(0);
}
