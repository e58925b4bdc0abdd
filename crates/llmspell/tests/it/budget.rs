//! Budgets: reservations before calls, settlement after them, and a cap that holds as far as the estimates are right.

mod properties;
mod queue;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llmspell::observe::{Cost, EventKind, RejectedBy, Usage, WaitKind};
use llmspell::{Budget, Context, Error, ErrorKind, Outcome, Policy, Retry, Step, join, step};
use tokio::time::{Instant, sleep};

use crate::probe::{Probe, ms};
use crate::wait::{completes, spawn_call, spawn_task, until};

/// The behaviour of one call.
#[derive(Clone, Copy, Debug, Default)]
struct TestCall {
    /// The tokens that it reports; `None` if it reports nothing.
    used: Option<u64>,
    takes: u64,
    error: Option<fn() -> Error>,
}

fn uses(tokens: u64) -> TestCall {
    TestCall { used: Some(tokens), takes: 10, error: None }
}

fn tokens(tokens: u64) -> Usage {
    Usage::new(tokens, 0)
}

/// A step that behaves as its input says; each token costs a hundredth.
fn work() -> impl Step<In = TestCall, Out = ()> + Clone {
    step(|call: TestCall, cx: Context| async move {
        sleep(ms(call.takes)).await;
        if let Some(used) = call.used {
            cx.record_usage(tokens(used).with_cost(used as f64 / 100.0));
        }
        call.error.map_or(Ok(()), |error| Err(error()))
    })
}

async fn run_all(
    step: impl Step<In = TestCall, Out = ()>,
    calls: impl IntoIterator<Item = TestCall>,
) -> Vec<Outcome<()>> {
    let calls: Vec<TestCall> = calls.into_iter().collect();
    let all = calls.len().max(1);
    completes(step.stream(calls, &Context::new()).limit(all).ordered().collect()).await
}

fn admitted(outcomes: &[Outcome<()>]) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn calls_are_rejected_once_there_is_not_enough_for_another() {
    let budget = Budget::tokens(1000).estimate(tokens(300));
    let outcomes = run_all(work().budget(budget.clone()).named("ask"), [uses(300); 5]).await;
    assert_eq!(
        (admitted(&outcomes), budget.spent(), budget.remaining_tokens()),
        (3, tokens(900).with_cost(9.0), Some(100))
    );
    let error = outcomes[4].result.as_ref().unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Rejected, false));
    let reported = "ask: budget exhausted: 900 of 1000 tokens are spent, and a call needs about 300 tokens";
    assert_eq!(error.to_string(), reported);
    assert!(error.hint().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_cap_on_cost_is_exact() {
    let budget = Budget::cost(1.0).estimate(Usage::default().with_cost(0.1));
    let outcomes = run_all(work().budget(budget.clone()), [uses(10); 12]).await;
    assert_eq!(admitted(&outcomes), 10);
    let reported = outcomes[11].result.as_ref().unwrap_err().message().to_owned();
    assert_eq!(reported, "budget exhausted: 1 of 1 in cost are spent");
    assert_eq!(budget.remaining_cost(), Some(Cost::ZERO));
    assert_eq!(budget.remaining_tokens(), None);
}

#[tokio::test(start_paused = true)]
async fn the_first_cap_to_be_reached_counts() {
    let estimate = tokens(100).with_cost(1.0);
    for (budget, calls) in
        [(Budget::builder().tokens(500).cost(3.0).build(), 3), (Budget::builder().cost(30.0).tokens(500).build(), 5)]
    {
        let outcomes = run_all(work().budget(budget.estimate(estimate)), [uses(100); 9]).await;
        assert_eq!(admitted(&outcomes), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn unused_reservations_serve_the_waiters() {
    let (budget, started) = (Budget::tokens(1000), Instant::now());
    let step = work().budget(budget.clone().estimate(tokens(500)));
    let cx = Context::recording();
    // Two calls run at once; what they leave is enough for one more.
    let outcomes = step.named("ask").stream([uses(200); 6], &cx).limit(6).ordered().collect().await;
    assert_eq!((admitted(&outcomes), budget.spent().tokens()), (3, 600));
    assert_eq!(started.elapsed(), ms(20));
    let waits: Vec<_> = cx
        .events()
        .into_iter()
        .filter_map(|event| match event.fact {
            EventKind::Admitted { queue, waited, .. } => Some((queue, waited)),
            _ => None,
        })
        .collect();
    assert_eq!(waits, [(WaitKind::Budget, ms(10))]);
    assert_eq!(
        cx.events()
            .iter()
            .filter(|event| matches!(event.fact, EventKind::Refused { by: RejectedBy::Budget, .. }))
            .count(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_can_never_fit_is_rejected_at_once() {
    let budget = Budget::tokens(1000);
    let (small, large) =
        (work().budget(budget.clone().estimate(tokens(400))), work().budget(budget.estimate(tokens(1100))));
    let cx = Context::new();
    let started = Instant::now();
    let first = spawn_call(&small, uses(1), &cx);
    sleep(ms(1)).await;
    let kind = completes(large.run(uses(1), &cx)).await.unwrap_err().kind();
    assert_eq!((kind, started.elapsed()), (ErrorKind::Rejected, ms(1)), "although a call was in flight");
    assert!(completes(first).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_wait_makes_room() {
    let budget = Budget::tokens(100).estimate(tokens(100));
    let step = work().budget(budget.clone());
    let cx = Context::new();
    let free = TestCall { used: Some(0), takes: 100, error: None };
    let impatient = |after| {
        let (step, cx) = (step.clone(), cx.clone());
        spawn_task(async move { tokio::time::timeout(ms(after), step.run(free, &cx)).await })
    };
    let all = (
        spawn_call(&step, free, &cx),
        impatient(50),
        impatient(60),
        spawn_call(&step, TestCall { takes: 1, ..free }, &cx),
    );
    let (a, b, c, d) = completes(async { tokio::join!(all.0, all.1, all.2, all.3) }).await;
    assert!(a.is_ok() && b.is_err() && c.is_err() && d.is_ok());
    assert_eq!((budget.spent().tokens(), budget.remaining_tokens()), (0, Some(100)));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_without_a_report_decides_its_assumed_cost() {
    let ended = async |call: TestCall, leaves: Option<u64>| {
        let budget = Budget::tokens(1000).estimate(tokens(100));
        let step = work().budget(budget.clone());
        let cx = Context::new();
        match leaves {
            Some(after) => drop(tokio::time::timeout(ms(after), step.run(call, &cx)).await),
            None => drop(step.run(call, &cx).await),
        }
        assert_eq!(budget.remaining_tokens(), Some(1000 - budget.spent().tokens()), "nothing stays reserved");
        budget.spent().tokens()
    };
    let silent = TestCall { used: None, takes: 10, error: None };
    let fails = |error| TestCall { error: Some(error), ..silent };
    assert_eq!(ended(silent, None).await, 100, "it succeeded");
    assert_eq!(ended(silent, Some(5)).await, 100, "it was dropped, and may have to be paid for");
    assert_eq!(ended(fails(|| Error::new(ErrorKind::Timeout, "late")), None).await, 100);
    let timeouts = || {
        Error::new(ErrorKind::AllFailed, "all")
            .with_causes(vec![Error::failed("no"), Error::new(ErrorKind::Timeout, "late")])
    };
    assert_eq!(ended(fails(timeouts), None).await, 100);
    assert_eq!(ended(fails(|| Error::overloaded("429")), None).await, 0, "the server rejected it");
    assert_eq!(ended(fails(|| Error::denied("402")), None).await, 0);
    assert_eq!(ended(fails(|| Error::failed("no answer")), None).await, 0);
    assert_eq!(ended(fails(|| Error::new(ErrorKind::Rejected, "open")), None).await, 0, "it does not count as a call");
    let reported = |call| TestCall { used: Some(30), ..call };
    assert_eq!(ended(reported(silent), None).await, 30, "whatever it reports");
    assert_eq!(ended(reported(fails(|| Error::failed("cut off"))), None).await, 30);
}

#[tokio::test(start_paused = true)]
async fn the_first_call_without_an_estimate_runs_alone() {
    let (budget, started) = (Budget::tokens(1000), Instant::now());
    let outcomes = run_all(work().budget(budget.clone()), [uses(300); 9]).await;
    // The first call runs alone; then two more fit.
    assert_eq!((admitted(&outcomes), budget.spent().tokens()), (3, 900));
    assert_eq!(started.elapsed(), ms(20));
}

#[tokio::test(start_paused = true)]
async fn each_call_that_reports_nothing_admits_one_more() {
    let started = Instant::now();
    let silent = TestCall { used: None, takes: 10, error: None };
    let outcomes = run_all(work().budget(Budget::tokens(1000)), [silent; 15]).await;
    assert_eq!(admitted(&outcomes), 15);
    assert_eq!(started.elapsed(), ms(40), "1 + 2 + 4 + 8");
}

#[tokio::test(start_paused = true)]
async fn an_estimate_can_come_from_the_input() {
    let budget = Budget::tokens(1000).estimate(tokens(1000));
    let step = work().budget(budget.clone()).estimate(|call: &TestCall| tokens(call.used.unwrap_or(1)));
    let outcomes = run_all(step, [uses(600), uses(300), uses(200), uses(100)]).await;
    let done: Vec<bool> = outcomes.iter().map(Outcome::is_ok).collect();
    assert_eq!((done, budget.spent().tokens()), (vec![true, true, false, true], 1000));
}

#[tokio::test(start_paused = true)]
async fn a_call_inside_a_call_is_part_of_it() {
    let budget = Budget::tokens(1000).estimate(tokens(600));
    let inner = work().budget(budget.clone());
    let twice = join((inner.clone(), inner)).map(|_| ()).budget(budget.clone());
    // The inner call does not wait for the reservation of the outer one, and nothing is charged twice.
    twice.run(uses(300), &Context::new()).await.unwrap();
    assert_eq!(budget.spent().tokens(), 600);
    let again = work().then_fn(|(), _| async { Ok(uses(1)) }).then(work().budget(budget.clone()));
    let again = again.budget(budget.clone().estimate(tokens(400)));
    let error = again.run(uses(400), &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "everything is spent by then");
    assert_eq!(budget.spent().tokens(), 1000);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_counts_and_a_rejection_ends_the_retries() {
    let budget = Budget::tokens(250).estimate(tokens(100));
    let policy = Policy::new().budget(budget.clone()).retry(Retry::immediately().max_attempts(10));
    let failing = TestCall { error: Some(|| Error::failed("again").transient()), ..uses(100) };
    let outcome = work().policy(policy).with_outcome().run(failing, &Context::new()).await.unwrap();
    assert_eq!((outcome.provenance.usage().tokens(), budget.spent().tokens()), (200, 200));
    let error = outcome.result.unwrap_err();
    assert_eq!(error.causes().last().unwrap().kind(), ErrorKind::Rejected);
    assert_eq!(error.attempts(), 3);
}

/// Usage is charged at once, although the caller has gone, and as reported, although the estimate was higher.
#[tokio::test]
async fn late_usage_is_settled_as_well() {
    let release = Arc::new(AtomicBool::new(false));
    let flag = release.clone();
    let stubborn = step(move |used: u64, cx: Context| {
        let flag = flag.clone();
        async move {
            cx.blocking(move |cx| {
                while !flag.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                cx.record_usage(tokens(used));
                Ok(())
            })
            .await
        }
    });
    let budget = Budget::tokens(10_000).estimate(tokens(1000));
    let late = stubborn.budget(budget.clone()).timeout(ms(300));
    let cx = Context::new();
    let (more, less) = tokio::join!(late.run(1500, &cx), late.run(10, &cx));
    assert!(more.is_err() && less.is_err());
    assert_eq!(budget.spent().tokens(), 2000, "as estimated");
    release.store(true, Ordering::SeqCst);
    until(async || budget.spent().tokens() == 1510).await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_zero_admits_nothing() {
    for budget in [Budget::tokens(0), Budget::cost(0.0)] {
        let outcomes = run_all(work().budget(budget), [uses(0); 3]).await;
        assert_eq!(admitted(&outcomes), 0);
    }
    let free = run_all(work().budget(Budget::unlimited()), [uses(1000); 3]).await;
    assert_eq!(admitted(&free), 3);
}

#[tokio::test(start_paused = true)]
async fn the_report_shows_the_wait() {
    let cx = Context::recording();
    let step = Probe::ok(10).budget(Budget::tokens(100).estimate(tokens(40))).named("ask");
    step.stream([0; 2], &cx).limit(2).collect().await;
    let failing = Probe::fails(10, "no").budget(Budget::tokens(100).estimate(tokens(100))).named("again");
    failing.stream([0; 2], &cx).limit(2).collect().await;
    let report = cx.report();
    assert_eq!((report.steps[0].waited, report.steps[1].waited, report.steps[1].busy), (ms(0), ms(10), ms(20)));
}

#[test]
#[should_panic(expected = "a budget must be a finite number of at least 0")]
fn a_cap_must_be_a_finite_number() {
    let _ = Budget::cost(f64::NAN);
}
