//! Adaptive limits.

mod gradient;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::control::Adaptive;
use llmspell::observe::{EventKind, LimitChange};
use llmspell::{Context, Error, ErrorKind, Limit, Policy, Retry, Step, pipeline, step};
use proptest::prelude::*;
use tokio::time::sleep;

use crate::probe::{Probe, Watch, ms};

/// A step that returns its input: an error after 10 ms, or a success after 100 ms.
fn answer() -> impl Step<In = Result<(), Error>, Out = ()> + Clone {
    step(|result: Result<(), Error>, _| async move {
        sleep(if result.is_ok() { ms(100) } else { ms(10) }).await;
        result
    })
}

fn refusals(number: usize) -> Vec<Result<(), Error>> {
    vec![Err(Error::overloaded("429")); number]
}

fn from(initial: usize) -> Limit {
    Limit::adaptive(Adaptive::aimd().initial(initial))
}

/// Runs all calls at once, as far as the limit allows, and returns the limit at the end.
async fn rush(limit: &Limit, results: Vec<Result<(), Error>>) -> usize {
    answer().limit(limit.clone()).stream(results, &Context::new()).limit(1000).collect().await;
    limit.permits().unwrap()
}

/// Returns the changes of the limit, and their reasons.
fn changes(cx: &Context) -> Vec<(usize, usize, LimitChange)> {
    let change = |fact| match fact {
        EventKind::LimitChanged { from, to, reason, .. } => Some((from, to, reason)),
        _ => None,
    };
    cx.events().into_iter().filter_map(|event| change(event.fact)).collect()
}

/// A server that accepts `capacity` calls and rejects excess ones.
fn server(capacity: &Arc<AtomicUsize>, watch: &Watch) -> impl Step<In = usize, Out = ()> + Clone {
    let (capacity, watch) = (capacity.clone(), watch.clone());
    step(move |_: usize, _| {
        let (capacity, alive) = (capacity.clone(), watch.enter());
        let watch = watch.clone();
        async move {
            if watch.alive() > capacity.load(Ordering::SeqCst) {
                drop(alive);
                sleep(ms(5)).await;
                return Err(Error::overloaded("429"));
            }
            sleep(ms(fastrand::u64(50..150))).await;
            alive.complete();
            Ok(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn it_grows_only_while_all_of_it_is_in_use() {
    let limit = from(8);
    let seven = answer().limit(limit.clone()).stream(vec![Ok(()); 200], &Context::new()).limit(7).collect().await;
    assert!(seven.iter().all(|outcome| outcome.is_ok()));
    assert_eq!(limit.permits(), Some(8), "one permit was always free");
    assert!(rush(&limit, vec![Ok(()); 200]).await > 8);
}

#[tokio::test(start_paused = true)]
async fn it_doubles_until_the_first_overload_and_remembers_the_limit() {
    fastrand::seed(1);
    let (capacity, watch) = (Arc::new(AtomicUsize::new(20)), Watch::default());
    let limit = Limit::adaptive(Adaptive::aimd());
    let cx = Context::recording();
    server(&capacity, &watch).limit(limit.clone()).stream(0..5000, &cx).collect().await;
    let changes = changes(&cx);
    let growth = |from, to| (from, to, LimitChange::Growth);
    assert_eq!(changes[..3], [growth(4, 8), growth(8, 16), growth(16, 32)]);
    let later = changes.iter().skip_while(|(_, to, _)| *to != 20);
    assert!(later.clone().all(|(_, to, _)| (19..=21).contains(to)), "it stays at the ceiling: {changes:?}");
    // Twelve at first, then one in a hundred: a probe in five times the limit.
    assert!(watch.begun() - watch.completed() < 12 + 5000 / 90, "{} refused", watch.begun() - watch.completed());
}

#[tokio::test(start_paused = true)]
async fn it_follows_a_capacity_that_changes() {
    fastrand::seed(1);
    let (capacity, watch) = (Arc::new(AtomicUsize::new(16)), Watch::default());
    let limit = Limit::adaptive(Adaptive::aimd());
    let run = |items| server(&capacity, &watch).limit(limit.clone()).stream(0..items, &Context::new()).collect();
    for (number, items) in [(16, 500), (100, 3000), (10, 500)] {
        capacity.store(number, Ordering::SeqCst);
        run(items).await;
        let found = limit.permits().unwrap();
        assert!((number - 1 - number / 16..=number + 1).contains(&found), "{found} for a capacity of {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn overloads_of_one_congestion_event_halve_it_once() {
    let limit = from(64);
    let cx = Context::recording();
    answer().limit(limit.clone()).stream(refusals(64), &cx).collect().await;
    assert_eq!(limit.permits(), Some(32));
    let last = cx.events().into_iter().rfind(|event| matches!(event.fact, EventKind::LimitChanged { .. }));
    let json = serde_json::to_value(last.unwrap().fact).unwrap();
    assert_eq!(json, serde_json::json!({"event": "limit_changed", "from": 33, "to": 32, "reason": "overload"}));
    // Each of the next calls began after the decrease, so it counts again.
    assert_eq!(rush(&limit, refusals(32)).await, 16);
}

#[tokio::test(start_paused = true)]
async fn it_falls_by_the_number_of_rejections_and_at_least_by_a_tenth() {
    let few = |number: usize| {
        let mut results = refusals(number);
        results.resize(40, Ok(()));
        results
    };
    // Nothing is known yet, so each rejected call was one too many, and that is all.
    assert_eq!(rush(&from(40), few(1)).await, 39);
    assert_eq!(rush(&from(40), few(7)).await, 33);
    // The full limit has completed a round, so the capacity has fallen.
    let known = || Limit::adaptive(Adaptive::aimd().initial(40).max(40));
    for (rejected, left) in [(1, 36), (7, 33), (30, 20)] {
        let limit = known();
        assert_eq!(rush(&limit, vec![Ok(()); 80]).await, 40);
        assert_eq!(rush(&limit, few(rejected)).await, left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_timeout_is_not_overload_but_several_are() {
    let late = || Err(Error::new(ErrorKind::Timeout, "late"));
    let limit = Limit::adaptive(Adaptive::aimd().initial(10).max(10));
    let run = async |results: &Vec<Result<(), Error>>| {
        let cx = Context::recording();
        answer().limit(limit.clone()).stream(results.clone(), &cx).limit(100).collect().await;
        changes(&cx)
    };
    let mut results = vec![Ok(()); 100];
    (results[30], results[70]) = (late(), late());
    assert_eq!(run(&results).await, []);
    results[71] = late();
    assert_eq!(run(&results).await[0], (10, 9, LimitChange::Overload));
}

#[tokio::test(start_paused = true)]
async fn only_the_timeout_of_the_call_itself_counts() {
    let slow = || Probe::ok(1000);
    let limit = from(8);
    let dropped = Step::timeout(slow().limit(limit.clone()), ms(50));
    dropped.stream(0..100, &Context::new()).collect().await;
    assert_eq!(limit.permits(), Some(8), "a dropped call does not count");

    // Most of the deadline passes in the queue, and it ends the call at the same time as its own timeout would.
    let rushed = slow().policy(Policy::new().deadline(ms(50)).limit(limit.clone()).timeout(ms(100)));
    rushed.stream(0..100, &Context::new()).collect().await;
    assert_eq!(limit.permits(), Some(8), "a deadline outside of the limit is the caller's");

    let timed_out = slow().policy(Policy::new().limit(limit.clone()).timeout(ms(50)));
    timed_out.stream(0..100, &Context::new()).collect().await;
    assert_eq!(limit.permits(), Some(1), "a timeout inside of it is the server's");
}

#[tokio::test(start_paused = true)]
async fn other_errors_do_not_count_unless_chosen() {
    let failures = |kind| vec![Err(Error::new(kind, "no")); 100];
    for kind in [
        ErrorKind::Failed,
        ErrorKind::Invalid,
        ErrorKind::Cancelled,
        ErrorKind::Rejected,
        ErrorKind::Denied,
        ErrorKind::Panicked,
    ] {
        assert_eq!(rush(&from(8), failures(kind)).await, 8, "{kind}");
    }
    let choosy = || Limit::adaptive(Adaptive::aimd().initial(8).when(|error| error.kind() != ErrorKind::Overloaded));
    assert_eq!(rush(&choosy(), failures(ErrorKind::Overloaded)).await, 8);
    assert_eq!(rush(&choosy(), failures(ErrorKind::Failed)).await, 1);
    for kind in [ErrorKind::Invalid, ErrorKind::Cancelled, ErrorKind::Rejected] {
        assert_eq!(rush(&choosy(), failures(kind)).await, 8, "{kind} does not come from the other side");
    }
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_retry_inside_counts_as_its_last_attempt() {
    let limit = from(8);
    let retried = answer().retry(Retry::immediately()).limit(limit.clone());
    retried.stream(refusals(100), &Context::new()).collect().await;
    assert_eq!(limit.permits(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn steps_that_share_a_limit_share_what_it_has_learned() {
    let limit = from(8);
    let (one, other) = (answer().limit(limit.clone()), answer().limit(limit.clone()));
    one.stream(refusals(8), &Context::new()).collect().await;
    assert_eq!(limit.permits(), Some(4));
    other.stream(vec![Ok(()); 300], &Context::new()).collect().await;
    assert!(limit.permits().unwrap() > 4);
}

#[tokio::test(start_paused = true)]
async fn it_does_not_grow_during_a_retry_after() {
    let limit = from(8);
    let mut silenced = vec![Err(Error::overloaded("429").with_retry_after(Duration::from_secs(20)))];
    silenced.extend(vec![Ok(()); 500]);
    assert_eq!(rush(&limit, silenced).await, 7);
    sleep(Duration::from_secs(20)).await;
    assert!(rush(&limit, vec![Ok(()); 500]).await > 7);
}

#[tokio::test(start_paused = true)]
async fn work_that_outlives_its_call_counts_until_it_ends() {
    let limit = Limit::adaptive(Adaptive::aimd().initial(2).max(2));
    let keep = step(|(), cx: Context| async move { Ok(cx.hold()) }).limit(limit.clone());
    let held = keep.run((), &Context::new()).await.unwrap();
    assert_eq!((limit.permits(), limit.available()), (Some(2), Some(1)));
    drop(held);
    assert_eq!(limit.available(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_stage_of_a_pipeline_can_adapt() {
    for cx in [Context::new(), Context::recording()] {
        let limit = Limit::adaptive(Adaptive::aimd().max(32));
        let flow = pipeline("flow").stage("first", Probe::ok(10)).limit(limit.clone()).stage("then", Probe::ok(1));
        flow.stream(0..500, &cx).collect().await;
        assert_eq!(limit.permits(), Some(32), "as many records as the limit allows are in flight");
        let reported = cx.report().pipelines.first().map(|pipeline| pipeline.stages[0].limit);
        assert!(reported.is_none_or(|most| most == Some(32)), "{reported:?}");
    }
}

#[test]
#[should_panic(expected = "invalid bounds 9 and 8")]
fn invalid_bounds_are_rejected_at_once() {
    let _ = Limit::adaptive(Adaptive::aimd().min(9).max(8));
}

#[test]
#[should_panic(expected = "a limit must be at least 1")]
fn a_lower_bound_of_zero_is_rejected_at_once() {
    let _ = Adaptive::aimd().min(0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the outcome of the calls, and however many are dropped.
    #[test]
    fn it_stays_within_its_bounds(
        (min, max, initial) in (1..10_usize, 10..30_usize, 0..40_usize),
        slowness in any::<bool>(),
        calls in prop::collection::vec((0..4_u8, 1..50_u64), 1..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let how = if slowness { Adaptive::gradient() } else { Adaptive::aimd() };
            let limit = Limit::adaptive(how.min(min).max(max).initial(initial));
            let watch = Watch::default();
            let (watching, seen) = (watch.clone(), limit.clone());
            let call = step(move |(outcome, time): (u8, u64), _| {
                let alive = watching.enter();
                assert!((min..=max).contains(&seen.permits().unwrap()));
                async move {
                    sleep(ms(time)).await;
                    alive.complete();
                    match outcome {
                        0 => Err(Error::overloaded("429")),
                        1 => Err(Error::new(ErrorKind::Timeout, "late")),
                        _ => Ok(()),
                    }
                }
            });
            // A call that takes longer than this is dropped.
            let call = Step::timeout(call.limit(limit.clone()), ms(45));
            let outcomes = call.stream(calls, &Context::new()).limit(50).collect().await;
            let panicked = |error: &Error| error.kind() == ErrorKind::Panicked;
            assert!(!outcomes.iter().any(|outcome| outcome.result.as_ref().is_err_and(panicked)), "out of bounds");
            assert!(watch.most_at_once() <= max);
            assert_eq!(limit.available(), limit.permits(), "every permit was released");
        });
    }
}
