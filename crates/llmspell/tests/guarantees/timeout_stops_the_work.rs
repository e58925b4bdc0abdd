//! **A timeout stops the work**, and the work can read its deadline. Work that cannot be dropped may outlive
//! its caller. The caller then returns in time, and the work counts until it has ended.
//!
//! *Hazard*: a timeout that only stops the waiting. The thread, the process or the request continues, its
//! permit is released, and the retry starts another one beside it.
//!
//! *Reports*: <https://github.com/tokio-rs/tokio/pull/6571>, <https://github.com/tokio-rs/tokio/issues/2685>,
//! <https://github.com/pydantic/pydantic-ai/issues/264>.
//!
//! *Common alternative*: `timeout` around `spawn_blocking`, with a semaphore: after three attempts three
//! threads run where one was allowed (`cargo run -p hazards -- thread`).
//!
//! *Here* (part of G7): the caller returns within 10 ms of its deadline whatever the work does. Running calls
//! never exceed the limit, runaways included. Separate limits for first output, idle time and total time:
//! `tests/it/timeout.rs`. Retries beside a runaway: `runaways_are_accounted_for.rs`. Child processes:
//! `tests/it/process.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::observe::EventKind;
use llmspell::step::BoxStep;
use llmspell::{Context, ErrorKind, Limit, Step, step};
use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::time::{Instant, sleep};

use crate::baseline::{at_most, tasks, until};
use crate::pattern_cases::every_pattern;
use crate::probe::{Watch, ms};

on_both_runtimes!(
    no_work_happens_after_the_timeout,
    deadline_is_visible_and_only_tightens,
    caller_of_detached_work_returns_in_time,
    thread_that_outlives_its_caller_keeps_its_permit,
    running_calls_never_exceed_the_limit_with_runaways,
);

async fn no_work_happens_after_the_timeout() {
    let ticks = Arc::new(AtomicUsize::new(0));
    let count = ticks.clone();
    let busy = move || {
        let count = count.clone();
        let beat = move |_: usize, _| {
            let count = count.clone();
            async move {
                loop {
                    count.fetch_add(1, Ordering::SeqCst);
                    sleep(ms(1)).await;
                }
                #[expect(unreachable_code, reason = "gives the closure its type")]
                Ok(0)
            }
        };
        step(beat).boxed()
    };
    for case in every_pattern(busy) {
        let before = tasks();
        let error = case.step.timeout(ms(10)).run(0, &Context::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{}", case.name);
        if !case.in_place {
            // An aborted task may be in the middle of a tick.
            until(|| tasks() <= before).await;
        }
        let done = ticks.load(Ordering::SeqCst);
        sleep(ms(5)).await;
        assert!(done > 0);
        assert_eq!(ticks.load(Ordering::SeqCst), done, "{}: the work continues", case.name);
    }
}

async fn deadline_is_visible_and_only_tightens() {
    let seen: fn() -> BoxStep<usize, usize> = || {
        let look = |_: usize, cx: Context| async move {
            let left = cx.remaining().expect("a deadline");
            // In whole seconds, so that it fits the output type.
            Ok(usize::try_from(left.as_secs()).unwrap())
        };
        step(look).boxed()
    };
    let (minute, hour, day) = (Duration::from_secs(60), Duration::from_secs(3600), Duration::from_secs(86_400));
    for case in every_pattern(seen) {
        let step = Arc::new(case.step);
        let left = step.clone().timeout(minute).run(0, &Context::new()).await.unwrap();
        assert!((50..=60).contains(&left), "{}: {left} s", case.name);
        // A longer limit inside changes nothing, and a shorter one counts.
        let left = step.clone().timeout(day).timeout(minute).run(0, &Context::new()).await.unwrap();
        assert!((50..=60).contains(&left), "{}: {left} s", case.name);
        let cx = Context::new().with_deadline(Instant::now() + hour);
        let left = step.timeout(minute).run(0, &cx).await.unwrap();
        assert!((50..=60).contains(&left), "{}: {left} s", case.name);
    }
}

/// Returns a step that occupies a thread until it is released.
fn blocking_work(watch: &Watch, release: &Arc<AtomicBool>) -> BoxStep<(), ()> {
    let (watch, release) = (watch.clone(), release.clone());
    let occupy = move |(), cx: Context| {
        let (watch, release) = (watch.clone(), release.clone());
        async move {
            cx.blocking(move |_| {
                let alive = watch.enter();
                while !release.load(Ordering::SeqCst) {
                    #[expect(clippy::disallowed_methods, reason = "a thread may block")]
                    std::thread::sleep(ms(1));
                }
                alive.complete();
                Ok(())
            })
            .await
        }
    };
    step(occupy).boxed()
}

/// Returns a step that computes on its task, without an `await`, until it is released.
fn spinning(watch: &Watch, release: &Arc<AtomicBool>) -> BoxStep<(), ()> {
    let (watch, release) = (watch.clone(), release.clone());
    let spin = move |(), _: Context| {
        let (watch, release) = (watch.clone(), release.clone());
        async move {
            let alive = watch.enter();
            while !release.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            alive.complete();
            Ok(())
        }
    };
    step(spin).spawned().boxed()
}

type DetachedWork = fn(&Watch, &Arc<AtomicBool>) -> BoxStep<(), ()>;

async fn caller_of_detached_work_returns_in_time() {
    let mut works: Vec<(&str, DetachedWork)> = vec![("a thread", blocking_work)];
    // On one thread, a computation also delays the timer.
    if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
        works.push(("a task that computes", spinning));
    }
    for (name, work) in works {
        at_most(ms(10), name, move || async move {
            let (watch, release) = (Watch::default(), Arc::default());
            let step = work(&watch, &release).timeout(ms(20));
            let started = Instant::now();
            assert_eq!(step.run((), &Context::new()).await.unwrap_err().kind(), ErrorKind::Timeout);
            let late = started.elapsed() - ms(20);
            let (begun, completed) = (watch.begun(), watch.completed());
            release.store(true, Ordering::SeqCst);
            until(|| watch.alive() == 0).await;
            // On a very busy machine there may have been no thread in time.
            if (begun, completed) == (1, 0) { late } else { Duration::MAX }
        })
        .await;
    }
}

async fn thread_that_outlives_its_caller_keeps_its_permit() {
    let (watch, release, limit, cx) = (Watch::default(), Arc::default(), Limit::new(1), Context::recording());
    let step = blocking_work(&watch, &release).limit(limit.clone()).timeout(ms(200)).named("stubborn");
    assert!(step.run((), &cx).await.is_err());
    assert_eq!((watch.alive(), limit.available()), (1, Some(0)), "it is there, and counts");
    assert!(cx.events().iter().any(|event| event.fact == EventKind::Runaway));
    assert_eq!(cx.report().steps[0].runaways, 1);
    release.store(true, Ordering::SeqCst);
    until(|| limit.available() == Some(1)).await;
    assert_eq!(watch.alive(), 0);
}

async fn running_calls_never_exceed_the_limit_with_runaways() {
    let (watch, release, limit) = (Watch::default(), Arc::default(), Limit::new(2));
    let call = blocking_work(&watch, &release).limit(limit.clone()).timeout(ms(200));
    let outcomes = call.stream((0..12).map(|_| ()), &Context::new()).limit(6).collect().await;
    assert!(outcomes.iter().all(|outcome| !outcome.is_ok()));
    assert_eq!((watch.begun(), watch.most_at_once(), limit.available()), (2, 2, Some(0)));
    release.store(true, Ordering::SeqCst);
    until(|| limit.available() == Some(2)).await;
}

/// More calls than threads: work that has not started by its deadline never starts, and is not a runaway.
#[test]
fn work_that_waits_for_a_thread_is_cancelled() {
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = builder.worker_threads(2).max_blocking_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (watch, release, cx) = (Watch::default(), Arc::default(), Context::recording());
            let call = blocking_work(&watch, &release).timeout(ms(200)).named("call");
            let outcomes = call.stream((0..6).map(|_| ()), &cx).limit(6).collect().await;
            assert!(outcomes.iter().all(|outcome| !outcome.is_ok()));
            assert_eq!(watch.begun(), 2);
            release.store(true, Ordering::SeqCst);
            until(|| watch.alive() == 0).await;
            sleep(ms(20)).await;
            assert_eq!((watch.begun(), cx.report().steps[0].runaways), (2, 2));
        });
    }
}
