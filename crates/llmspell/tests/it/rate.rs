//! Rates: turns in order and on time, tokens by reservation and settlement, and an ear for the server.

mod begun;
mod line;
mod properties;
mod retune;
mod server;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::{
    Context, Error, ErrorKind, EventKind, Outcome, Policy, Rate, RejectedBy, Result, Retry, Step, Usage, WaitKind,
    join, step,
};
use tokio::time::{Instant, sleep};

use crate::probe::{Probe, ms};
use crate::wait::{completes, spawn_call, spawn_task, until};

const ZERO: Duration = Duration::ZERO;

/// When calls began, since the first look.
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

/// What one call does.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    /// What it is expected to use.
    expected: u64,
    /// What it says that it has used.
    used: Option<u64>,
    takes: u64,
    /// How it fails.
    error: Option<fn() -> Error>,
}

fn call(expected: u64, used: u64, takes: u64) -> Call {
    Call { expected, used: Some(used), takes, error: None }
}

fn failing(error: fn() -> Error) -> Call {
    Call { takes: 1, error: Some(error), ..Call::default() }
}

/// A step that does what its input says, at a rate.
fn rated(rate: Rate, clock: &Clock) -> impl Step<In = Call, Out = ()> + Clone {
    let clock = clock.clone();
    let work = step(move |call: Call, cx: Context| {
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

async fn run_all(step: impl Step<In = Call, Out = ()>, calls: impl IntoIterator<Item = Call>) -> Vec<Outcome<()>> {
    let calls: Vec<Call> = calls.into_iter().collect();
    let all = calls.len().max(1);
    completes(step.stream(calls, &Context::new()).limit(all).ordered().collect()).await
}

#[tokio::test(start_paused = true)]
async fn calls_start_at_the_rate_after_the_burst() {
    let clock = Clock::start();
    let step = rated(Rate::per_second(10).burst(ms(300)), &clock);
    run_all(step, [Call::default(); 7]).await;
    assert_eq!(clock.times(), [0, 0, 0, 100, 200, 300, 400].map(ms));
}

#[tokio::test(start_paused = true)]
async fn by_default_a_tenth_of_the_period_may_go_at_once() {
    let clock = Clock::start();
    run_all(rated(Rate::per_minute(60), &clock), [Call::default(); 8]).await;
    assert_eq!(clock.times(), [0, 0, 0, 0, 0, 0, 1000, 2000].map(ms));
    let clock = Clock::start();
    run_all(rated(Rate::per_second(2), &clock), [Call::default(); 3]).await;
    assert_eq!(clock.times(), [0, 500, 1000].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_shared_by_the_steps_that_use_it() {
    let (rate, clock) = (Rate::per_second(10).burst(ZERO), Clock::start());
    let (a, b) = (rated(rate.clone(), &clock), rated(rate.clone(), &clock));
    completes(join((a, b)).stream([Call::default(); 3], &Context::new()).limit(3).collect()).await;
    assert_eq!(clock.times(), [0, 100, 200, 300, 400, 500].map(ms));
    assert_eq!(rate.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn tokens_wait_for_tokens() {
    let clock = Clock::start();
    // A thousand a second; a thousand at once.
    let rate = Rate::unlimited().tokens_per_minute(60_000).burst(ms(1000));
    run_all(rated(rate, &clock), [call(400, 400, 0); 5]).await;
    assert_eq!(clock.times(), [0, 0, 200, 600, 1000].map(ms));
}

#[tokio::test(start_paused = true)]
async fn both_must_be_there_requests_and_tokens() {
    let clock = Clock::start();
    let rate = Rate::per_second(10).tokens_per_minute(60_000).burst(ZERO);
    let calls = [call(1, 1, 0), call(1, 1, 0), call(500, 500, 0), call(1, 1, 0)];
    run_all(rated(rate, &clock), calls).await;
    // A bucket that holds less than the call wants: it goes when the bucket is full, and the next one pays.
    assert_eq!(clock.times(), [0, 100, 200, 700].map(ms));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_goes_back_and_what_was_used_beyond_is_owed() {
    let rate = || Rate::unlimited().tokens_per_minute(60_000).burst(ms(1000));
    let clock = Clock::start();
    // The first one gives 900 back when it ends, after 100 ms; without that, the second had to wait for 1 s.
    run_all(rated(rate(), &clock), [call(1000, 100, 100), call(1000, 1000, 0)]).await;
    assert_eq!(clock.times(), [0, 100].map(ms));

    let clock = Clock::start();
    // Told 3000 instead of 1000, half a second after the start: 2000 are owed when the first is done.
    run_all(rated(rate(), &clock), [call(1000, 3000, 500), call(1, 1, 0)]).await;
    assert_eq!(clock.times(), [0, 1].map(ms), "the second came before that was known");
    let clock = Clock::start();
    let step = rated(rate(), &clock);
    run_all(step.clone(), [call(1000, 3000, 500)]).await;
    run_all(step, [call(500, 1, 0)]).await;
    assert_eq!(clock.times(), [0, 2500].map(ms), "0 + 500 − 2000, and 500 wanted");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_says_nothing_keeps_what_it_was_expected_to_use() {
    let clock = Clock::start();
    let step = rated(Rate::unlimited().tokens_per_minute(60_000).burst(ms(1000)), &clock);
    let silent = Call { used: None, ..call(1000, 0, 10) };
    run_all(step.clone(), [silent, silent]).await;
    assert_eq!(clock.times(), [0, 1000].map(ms));
    // Nor does it matter how it ends.
    let stopped = step.clone().timeout(ms(5));
    assert!(stopped.run(silent, &Context::new()).await.is_err(), "no turn in time, to begin with");
    sleep(ms(5000)).await;
    assert!(stopped.run(silent, &Context::new()).await.is_err());
    run_all(step, [silent]).await;
    assert_eq!(clock.times()[2..], [6010, 7010].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_fixed_estimate_belongs_to_the_clone_and_the_tokens_to_all() {
    let rate = Rate::unlimited().tokens_per_minute(60_000).burst(ms(1000));
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
    let work = work.rate(Rate::unlimited().tokens_per_minute(60_000).burst(ms(1000)));
    let cx = Context::new();
    work.run(500, &cx).await.unwrap();
    // It is taken to use 500 again. The bucket has 510 when it comes.
    work.run(100, &cx).await.unwrap();
    assert_eq!(clock.times(), [0, 10].map(ms));
    // Now 450 are expected, and 420 are there: 510 − 100 + 10.
    work.run(100, &cx).await.unwrap();
    assert_eq!(clock.times().last(), Some(&ms(50)));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_cannot_come_in_time_is_refused_at_once() {
    let (rate, clock) = (Rate::per_second(1).burst(ZERO), Clock::start());
    let step = rated(rate.clone(), &clock);
    let cx = Context::recording();
    let outcomes = step.timeout(ms(2500)).named("ask").stream([Call::default(); 5], &cx).limit(5).collect().await;
    let errors: Vec<&Error> = outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()).collect();
    // Turns at 0 s, 1 s and 2 s; those at 3 s and 4 s would come too late.
    assert_eq!(errors.len(), 2);
    assert_eq!(errors[0].kind(), ErrorKind::Rejected);
    // Those that are refused stand in nobody's way, so both hear of the same turn.
    assert_eq!(errors.iter().map(|error| error.retry_after().unwrap()).collect::<Vec<_>>(), [ms(3000), ms(3000)]);
    assert!(errors[0].hint().is_some());
    let expected = "ask: the rate leaves no turn before the deadline: the next one is in 3 s, and 2.5 s are left";
    assert_eq!(errors[0].to_string(), expected);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    let told: Vec<Duration> = cx
        .events()
        .iter()
        .filter(|e| matches!(e.fact, EventKind::Refused { by: RejectedBy::Rate, .. }))
        .map(|e| e.at)
        .collect();
    assert_eq!(told, [ZERO, ZERO], "at once, and not after a wait in vain");
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_the_line_makes_room() {
    let (rate, clock) = (Rate::per_second(10).burst(ZERO), Clock::start());
    let step = Arc::new(rated(rate.clone(), &clock));
    let cx = Context::new();
    let waiter = || spawn_call(&step, Call::default(), &cx);
    let impatient = |after| {
        let (step, cx) = (step.clone(), cx.clone());
        spawn_task(async move { tokio::time::timeout(ms(after), step.run(Call::default(), &cx)).await })
    };
    // The second leaves at the head of the line, the third before it gets there.
    let all = (waiter(), impatient(50), impatient(60), waiter(), waiter());
    let (a, b, c, d, e) = completes(async { tokio::join!(all.0, all.1, all.2, all.3, all.4) }).await;
    assert!(a.is_ok() && b.is_err() && c.is_err() && d.is_ok() && e.is_ok());
    assert_eq!(clock.times(), [0, 100, 200].map(ms));
    assert_eq!(rate.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_is_seen_and_told_from_waiting_for_a_permit() {
    let cx = Context::recording();
    let step = Probe::ok(10).rate(Rate::per_second(10).burst(ZERO)).named("ask");
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

/// Work on a thread that outlives its caller, and says what it has used once it is let go.
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

/// How long a call that wants so many tokens would have to wait.
async fn wait_for(rate: &Rate, tokens: u64) -> Duration {
    let cx = Context::new().with_deadline(Instant::now());
    let result = Probe::ok(0).rate(rate.clone().estimate(tokens)).run(0, &cx).await;
    result.err().map_or(ZERO, |error| error.retry_after().unwrap())
}

#[tokio::test]
async fn usage_that_comes_late_is_charged_all_the_same() {
    let rate = Rate::unlimited().tokens_per_minute(60_000).burst(ms(1000));
    let (work, release) = stubborn(3_600_000);
    assert!(work.rate(rate.clone()).timeout(ms(300)).run((), &Context::new()).await.is_err());
    assert_eq!(wait_for(&rate, 1).await, ZERO);
    release.store(true, Ordering::SeqCst);
    until(async || wait_for(&rate, 1).await >= ms(3_500_000)).await;
}

#[tokio::test]
async fn what_was_reserved_for_late_usage_and_not_used_goes_back() {
    let rate = Rate::unlimited().tokens_per(1000, ms(3_600_000)).burst(ms(3_600_000));
    let (work, release) = stubborn(1);
    assert!(work.rate(rate.clone().estimate(1000)).timeout(ms(300)).run((), &Context::new()).await.is_err());
    assert!(wait_for(&rate, 999).await > ms(3_000_000));
    release.store(true, Ordering::SeqCst);
    until(async || wait_for(&rate, 999).await == ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_inside_of_a_call_is_charged_once() {
    let rate = Rate::unlimited().tokens_per_minute(60_000).burst(ms(1000)).estimate(400);
    let inner = step(|(), cx: Context| async move {
        cx.record_usage(Usage::new(400, 0));
        Ok(())
    });
    let nested = inner.rate(rate.clone()).rate(rate.clone());
    nested.run((), &Context::new()).await.unwrap();
    let clock = Clock::start();
    // 600 of 1000 are left, so this one need not wait.
    Probe::ok(0).rate(rate.estimate(600)).run(0, &Context::new()).await.unwrap();
    clock.tick();
    assert_eq!(clock.times(), [ZERO]);
}

#[tokio::test(start_paused = true)]
async fn in_a_policy_each_attempt_takes_a_turn_before_its_permit() {
    let clock = Clock::start();
    let seen = clock.clone();
    let flaky = step(move |(), cx: Context| {
        seen.tick();
        async move { if cx.attempt() < 3 { Err(Error::failed("flaky").transient()) } else { Ok(()) } }
    });
    let rate = Rate::per_second(1).burst(ZERO);
    let policy = Policy::new().retry(Retry::immediately()).rate(rate).limit(1).timeout(ms(10));
    let cx = Context::recording();
    let outcome = flaky.policy(policy).with_outcome().run((), &cx).await.unwrap();
    assert_eq!((outcome.is_ok(), outcome.provenance.retries), (true, 2));
    assert_eq!(clock.times(), [0, 1000, 2000].map(ms), "time in line is not that of the attempt");
}

#[tokio::test(start_paused = true)]
async fn no_rate_is_no_hindrance() {
    let clock = Clock::start();
    let outcomes = run_all(rated(Rate::unlimited(), &clock), [call(1000, 1000, 0); 100]).await;
    let results: Result<Vec<()>> = outcomes.into_iter().map(|outcome| outcome.result).collect();
    assert_eq!(results.unwrap().len(), 100);
    assert_eq!(clock.times(), [ZERO; 100]);
}

#[test]
#[should_panic(expected = "a rate must be at least 1")]
fn a_rate_of_zero_is_refused_at_once() {
    let _ = Rate::per_minute(0);
}
