//! **A timeout stops the work**, and the work can see its deadline. Work that cannot be dropped may outlive its caller:
//! then the caller is free in time, and the work counts until it has ended.
//!
//! *Hazard*: a timeout that only stops the waiting. The thread, the process or the request goes on, its permit is given
//! away, and the retry starts another one beside it.
//!
//! *Reports*: <https://github.com/tokio-rs/tokio/pull/6571>, <https://github.com/tokio-rs/tokio/issues/2685>,
//! <https://github.com/pydantic/pydantic-ai/issues/264>.
//!
//! *Common alternative*: `timeout` around `spawn_blocking`, with a semaphore: after three attempts three threads are at
//! work where one was allowed (`cargo run -p hazards -- thread`).
//!
//! *Here* (part of G7): the caller is free within 10 ms of its deadline whatever the work does, and never more than the
//! limit is alive, runaways included. Separate times for the first output, for silence and for the whole:
//! `tests/it/timeout.rs`. Retries beside a runaway: `runaways_are_accounted_for.rs`. Child processes: `tests/it/process.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::{BoxStep, Context, ErrorKind, EventKind, Limit, Step, step};
use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::time::{Instant, sleep};

use crate::control::{at_most, tasks, until};
use crate::every_pattern::every_pattern;
use crate::probe::{Watch, ms};

on_both_runtimes!(
    nothing_is_done_after_the_time_is_up,
    the_deadline_is_visible_to_the_work_and_only_tightens,
    the_caller_of_work_that_cannot_be_dropped_is_free_in_time,
    a_thread_that_outlives_its_caller_counts_and_keeps_its_permit,
    no_more_than_the_limit_is_alive_runaways_included,
);

async fn nothing_is_done_after_the_time_is_up() {
    let beats = Arc::new(AtomicUsize::new(0));
    let count = beats.clone();
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
    for nest in every_pattern(busy) {
        let before = tasks();
        let error = nest.step.timeout(ms(10)).run(0, &Context::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{}", nest.name);
        if !nest.in_place {
            // A task that is told to stop may be in the middle of a beat.
            until(|| tasks() <= before).await;
        }
        let done = beats.load(Ordering::SeqCst);
        sleep(ms(5)).await;
        assert!(done > 0);
        assert_eq!(beats.load(Ordering::SeqCst), done, "{}: it goes on", nest.name);
    }
}

async fn the_deadline_is_visible_to_the_work_and_only_tightens() {
    let seen: fn() -> BoxStep<usize, usize> = || {
        let look = |_: usize, cx: Context| async move {
            let left = cx.remaining().expect("a deadline");
            // Without a fraction, and no less than one.
            Ok(usize::try_from(left.as_secs()).unwrap())
        };
        step(look).boxed()
    };
    let (minute, hour, day) = (Duration::from_secs(60), Duration::from_secs(3600), Duration::from_secs(86_400));
    for nest in every_pattern(seen) {
        let step = Arc::new(nest.step);
        let left = step.clone().timeout(minute).run(0, &Context::new()).await.unwrap();
        assert!((50..=60).contains(&left), "{}: {left} s", nest.name);
        // A longer one inside of it changes nothing, and a shorter one counts.
        let left = step.clone().timeout(day).timeout(minute).run(0, &Context::new()).await.unwrap();
        assert!((50..=60).contains(&left), "{}: {left} s", nest.name);
        let cx = Context::new().with_deadline(Instant::now() + hour);
        let left = step.timeout(minute).run(0, &cx).await.unwrap();
        assert!((50..=60).contains(&left), "{}: {left} s", nest.name);
    }
}

/// Occupies a thread until it is released.
fn stubborn(watch: &Watch, release: &Arc<AtomicBool>) -> BoxStep<(), ()> {
    let (watch, release) = (watch.clone(), release.clone());
    let occupy = move |(), cx: Context| {
        let (watch, release) = (watch.clone(), release.clone());
        async move {
            cx.blocking(move |_| {
                let alive = watch.enter();
                while !release.load(Ordering::SeqCst) {
                    #[expect(clippy::disallowed_methods, reason = "a thread may")]
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

/// Computes on its task, without an `await`, until it is released.
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

type Undroppable = fn(&Watch, &Arc<AtomicBool>) -> BoxStep<(), ()>;

async fn the_caller_of_work_that_cannot_be_dropped_is_free_in_time() {
    let mut works: Vec<(&str, Undroppable)> = vec![("a thread", stubborn)];
    // With one thread, whoever computes on it holds up the clock as well.
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

async fn a_thread_that_outlives_its_caller_counts_and_keeps_its_permit() {
    let (watch, release, limit, cx) = (Watch::default(), Arc::default(), Limit::new(1), Context::recording());
    let step = stubborn(&watch, &release).limit(limit.clone()).timeout(ms(200)).named("stubborn");
    assert!(step.run((), &cx).await.is_err());
    assert_eq!((watch.alive(), limit.available()), (1, Some(0)), "it is there, and counts");
    assert!(cx.events().iter().any(|event| event.fact == EventKind::Runaway));
    assert_eq!(cx.report().steps[0].runaways, 1);
    release.store(true, Ordering::SeqCst);
    until(|| limit.available() == Some(1)).await;
    assert_eq!(watch.alive(), 0);
}

async fn no_more_than_the_limit_is_alive_runaways_included() {
    let (watch, release, limit) = (Watch::default(), Arc::default(), Limit::new(2));
    let call = stubborn(&watch, &release).limit(limit.clone()).timeout(ms(200));
    let outcomes = call.stream((0..12).map(|_| ()), &Context::new()).limit(6).collect().await;
    assert!(outcomes.iter().all(|outcome| !outcome.is_ok()));
    assert_eq!((watch.begun(), watch.most_at_once(), limit.available()), (2, 2, Some(0)));
    release.store(true, Ordering::SeqCst);
    until(|| limit.available() == Some(2)).await;
}

/// More calls than there are threads: what has not begun when its time is up never does, and is nobody's runaway.
#[test]
fn work_that_waits_for_a_thread_is_called_off() {
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = builder.worker_threads(2).max_blocking_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (watch, release, cx) = (Watch::default(), Arc::default(), Context::recording());
            let call = stubborn(&watch, &release).timeout(ms(200)).named("call");
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
