//! **Cancellation is bounded in time**: what runs in the caller's task is dropped at once; tasks and threads are told to
//! stop, have their grace, and then are dropped or counted as runaways.
//!
//! *Hazard*: "cancelled" is what the screen says, and the work goes on, or is begun after all; or else the caller waits
//! for ever for work that does not listen.
//!
//! *Reports*: <https://github.com/mastra-ai/mastra/issues/15990>,
//! <https://github.com/pydantic/pydantic-ai/issues/3960>, <https://github.com/OpenHands/OpenHands-CLI/issues/142>.
//!
//! *Common alternative*: the first error of `try_join_all` over spawned tasks leaves the others running
//! (`cargo run -p hazards -- first_failure`).
//!
//! *Here*: nothing begins after the end, and an end takes no longer than the grace of 50 ms, also beside items that
//! compute. Every wait of the library ends with its context.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use llmspell::{Context, Error, Retry, Step, step, try_all};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::control::at_most;
use crate::every_pattern::every_pattern;
use crate::probe::{Probe, Watch, ms};

on_both_runtimes!(
    what_runs_in_the_callers_task_is_gone_as_it_is_dropped,
    nothing_starts_after_the_end,
    stopping_a_stream_waits_until_its_items_have_gone,
    an_end_waits_for_items_that_compute_no_longer_than_the_grace,
    a_thread_learns_that_its_caller_has_gone,
    a_task_is_told_and_then_dropped_after_its_grace,
    cancelling_ends_every_wait_of_the_library,
);

async fn what_runs_in_the_callers_task_is_gone_as_it_is_dropped() {
    let watch = Watch::default();
    for nest in every_pattern(|| Probe::ok(3_600_000).watched(&watch).boxed()).into_iter().filter(|nest| nest.in_place)
    {
        let before = watch.begun();
        let cx = Context::new();
        let mut run = Box::pin(nest.step.run(0, &cx));
        assert!(timeout(ms(5), &mut run).await.is_err());
        assert!(watch.begun() > before && watch.alive() > 0, "{}", nest.name);
        drop(run);
        assert_eq!(watch.alive(), 0, "{}", nest.name);
    }
}

async fn nothing_starts_after_the_end() {
    for nest in every_pattern(|| Probe::ok(3).boxed()) {
        let watch = Watch::default();
        let seen = watch.clone();
        let inner = Arc::new(nest.step);
        let work = step(move |n: usize, cx: Context| {
            let (alive, inner) = (seen.enter(), inner.clone());
            async move {
                let _alive = alive;
                if n == 20 { Err(Error::failed("twenty")) } else { inner.run(n, &cx).await }
            }
        });
        let error = work.stream(0..1000, &Context::new()).limit(10).try_collect().await.unwrap_err();
        assert_eq!(error.message(), "twenty", "{}", nest.name);
        assert_eq!(watch.alive(), 0, "{}", nest.name);
        let begun = watch.begun();
        assert!(begun <= 40, "{}: {begun} begun", nest.name);
        sleep(ms(20)).await;
        assert_eq!(watch.begun(), begun, "{}", nest.name);
    }
}

async fn stopping_a_stream_waits_until_its_items_have_gone() {
    let watch = Watch::default();
    let mut stream = Probe::ok(3).watched(&watch).stream(0.., &Context::new()).limit(16);
    stream.next().await.unwrap();
    stream.stop().await;
    assert_eq!(watch.alive(), 0);
}

/// Computes for longer than anybody waits, without an `await`.
fn computing(watch: &Watch) -> impl Step<In = usize, Out = usize> {
    let watch = watch.clone();
    step(move |n: usize, _| {
        let watch = watch.clone();
        async move {
            let _alive = watch.enter();
            let started = Instant::now();
            while started.elapsed() < ms(300) {
                std::thread::yield_now();
            }
            Ok(n)
        }
    })
}

/// With one thread, whoever computes on it holds up everybody, and there is no end before its own.
async fn an_end_waits_for_items_that_compute_no_longer_than_the_grace() {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return;
    }
    const GRACE: Duration = ms(50);
    at_most(GRACE + ms(10), "a stream", || async {
        let watch = Watch::default();
        let mut stream = computing(&watch).stream(0..10, &Context::new()).limit(1);
        let _ = timeout(ms(10), stream.next()).await;
        let started = Instant::now();
        stream.stop().await;
        let took = started.elapsed();
        while watch.alive() > 0 {
            sleep(ms(1)).await;
        }
        took
    })
    .await;
    at_most(GRACE + ms(10), "a group", || async {
        let watch = Watch::default();
        let group = try_all([computing(&watch).boxed(), Probe::fails(5, "no").boxed()]);
        let started = Instant::now();
        assert!(group.run(0, &Context::new()).await.is_err());
        let took = started.elapsed();
        while watch.alive() > 0 {
            sleep(ms(1)).await;
        }
        took.saturating_sub(ms(5))
    })
    .await;
}

async fn a_thread_learns_that_its_caller_has_gone() {
    at_most(ms(20), "a thread", || async {
        let (begun, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, hears) = (begun.clone(), told.clone());
        let stubborn = step(move |(), cx: Context| {
            let (begins, hears) = (begins.clone(), hears.clone());
            async move {
                cx.blocking(move |cx| {
                    begins.notify_one();
                    while !cx.is_cancelled() {
                        #[expect(clippy::disallowed_methods, reason = "a thread may")]
                        std::thread::sleep(ms(1));
                    }
                    hears.notify_one();
                    Ok(())
                })
                .await
            }
        });
        let cx = Context::new();
        // Dropped from outside: there is no deadline that it could see by itself.
        tokio::select! {
            _ = stubborn.run((), &cx) => panic!("it ends only when it is told to"),
            () = begun.notified() => {}
        }
        let dropped = Instant::now();
        told.notified().await;
        dropped.elapsed()
    })
    .await;
}

async fn a_task_is_told_and_then_dropped_after_its_grace() {
    const GRACE: Duration = ms(30);
    at_most(ms(20), "a task", || async {
        let (sender, mut said) = mpsc::channel(1);
        let tidy = step(move |(), cx: Context| {
            let sender = sender.clone();
            async move {
                cx.cancelled().await;
                sender.send(Instant::now()).await?;
                std::future::pending::<()>().await;
                Ok(())
            }
        });
        let call = tidy.spawned().grace(GRACE);
        assert!(timeout(ms(10), call.run((), &Context::new())).await.is_err());
        drop(call);
        let dropped = Instant::now();
        let Some(told) = said.recv().await else {
            // On a very busy machine it may have ended before it began.
            return Duration::MAX;
        };
        // The end of the grace drops the task, and with it the last sender.
        assert!(said.recv().await.is_none());
        told.saturating_duration_since(dropped).max(dropped.elapsed().saturating_sub(GRACE))
    })
    .await;
}

/// Waits that end with the context, although nobody drops them.
async fn cancelling_ends_every_wait_of_the_library() {
    type Wait = fn(Context) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    let waits: [(&str, Wait); 3] = [
        ("for the source", |cx| {
            Box::pin(async move {
                let silent = futures_core_pending();
                assert!(Probe::ok(1).stream(silent, &cx).next().await.is_none());
            })
        }),
        ("before a retry", |cx| {
            Box::pin(async move {
                let busy = step(|(), _| async move { Err::<(), _>(Error::failed("busy").transient()) });
                let error = busy.retry(Retry::delays([ms(3_600_000)])).run((), &cx).await.unwrap_err();
                assert!(error.message().starts_with("cancelled after 1 attempt"), "{error}");
            })
        }),
        ("for the context", |cx| Box::pin(async move { cx.cancelled().await })),
    ];
    for (name, wait) in waits {
        at_most(ms(10), name, move || async move {
            let (cx, canceller) = Context::new().cancellable();
            let cancel = async move {
                sleep(ms(5)).await;
                canceller.cancel();
                Instant::now()
            };
            let ((), cancelled) = tokio::join!(wait(cx), cancel);
            cancelled.elapsed()
        })
        .await;
    }
}

/// A source that never has anything.
fn futures_core_pending() -> impl futures_core::Stream<Item = usize> + Send + 'static {
    struct Silent;
    impl futures_core::Stream for Silent {
        type Item = usize;

        fn poll_next(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<usize>> {
            std::task::Poll::Pending
        }
    }
    Silent
}
