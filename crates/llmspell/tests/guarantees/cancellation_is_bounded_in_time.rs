//! **Cancellation is bounded in time**: work in the caller's task is dropped at once. Tasks and threads are
//! asked to stop, get their grace period, and are then dropped or counted as runaways.
//!
//! *Hazard*: work reported as cancelled continues, or starts after all; or the caller waits for ever for work
//! that ignores cancellation.
//!
//! *Reports*: <https://github.com/mastra-ai/mastra/issues/15990>,
//! <https://github.com/pydantic/pydantic-ai/issues/3960>, <https://github.com/OpenHands/OpenHands-CLI/issues/142>.
//!
//! *Common alternative*: the first error of `try_join_all` over spawned tasks leaves the others running
//! (`cargo run -p hazards -- first_failure`).
//!
//! *Here*: nothing starts after the end, and an end takes at most the grace of 50 ms, also beside items that
//! compute. Every wait of the library ends with its context.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use llmspell::{Context, Error, Retry, Step, step, try_all};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::baseline::at_most;
use crate::pattern_cases::every_pattern;
use crate::probe::{Probe, Watch, ms};

on_both_runtimes!(
    in_task_work_ends_when_dropped,
    nothing_starts_after_the_end,
    stopping_a_stream_waits_for_its_items,
    stop_waits_for_computing_items_at_most_the_grace,
    thread_sees_that_its_caller_is_gone,
    task_is_cancelled_then_dropped_after_its_grace,
    cancellation_ends_every_wait_of_the_library,
);

async fn in_task_work_ends_when_dropped() {
    let watch = Watch::default();
    for case in every_pattern(|| Probe::ok(3_600_000).watched(&watch).boxed()).into_iter().filter(|case| case.in_place)
    {
        let before = watch.begun();
        let cx = Context::new();
        let mut run = Box::pin(case.step.run(0, &cx));
        assert!(timeout(ms(5), &mut run).await.is_err());
        assert!(watch.begun() > before && watch.alive() > 0, "{}", case.name);
        drop(run);
        assert_eq!(watch.alive(), 0, "{}", case.name);
    }
}

async fn nothing_starts_after_the_end() {
    for case in every_pattern(|| Probe::ok(3).boxed()) {
        let watch = Watch::default();
        let seen = watch.clone();
        let inner = Arc::new(case.step);
        let work = step(move |n: usize, cx: Context| {
            let (alive, inner) = (seen.enter(), inner.clone());
            async move {
                let _alive = alive;
                if n == 20 { Err(Error::failed("twenty")) } else { inner.run(n, &cx).await }
            }
        });
        let error = work.stream(0..1000, &Context::new()).limit(10).try_collect().await.unwrap_err();
        assert_eq!(error.message(), "twenty", "{}", case.name);
        assert_eq!(watch.alive(), 0, "{}", case.name);
        let begun = watch.begun();
        assert!(begun <= 40, "{}: {begun} begun", case.name);
        sleep(ms(20)).await;
        assert_eq!(watch.begun(), begun, "{}", case.name);
    }
}

async fn stopping_a_stream_waits_for_its_items() {
    let watch = Watch::default();
    let mut stream = Probe::ok(3).watched(&watch).stream(0.., &Context::new()).limit(16);
    stream.next().await.unwrap();
    stream.stop().await;
    assert_eq!(watch.alive(), 0);
}

/// Returns a step that computes for longer than any test waits, without an `await`.
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

/// On one thread, a computation blocks everything else, and nothing can end before it does.
async fn stop_waits_for_computing_items_at_most_the_grace() {
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

async fn thread_sees_that_its_caller_is_gone() {
    at_most(ms(20), "a thread", || async {
        let (begun, notified) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (notify_start, notify_end) = (begun.clone(), notified.clone());
        let blocking_work = step(move |(), cx: Context| {
            let (notify_start, notify_end) = (notify_start.clone(), notify_end.clone());
            async move {
                cx.blocking(move |cx| {
                    notify_start.notify_one();
                    while !cx.is_cancelled() {
                        #[expect(clippy::disallowed_methods, reason = "a thread may block")]
                        std::thread::sleep(ms(1));
                    }
                    notify_end.notify_one();
                    Ok(())
                })
                .await
            }
        });
        let cx = Context::new();
        // Dropped from outside: it has no deadline of its own.
        tokio::select! {
            _ = blocking_work.run((), &cx) => panic!("the thread ends only when it is cancelled"),
            () = begun.notified() => {}
        }
        let dropped = Instant::now();
        notified.notified().await;
        dropped.elapsed()
    })
    .await;
}

async fn task_is_cancelled_then_dropped_after_its_grace() {
    const GRACE: Duration = ms(30);
    at_most(ms(20), "a task", || async {
        let (sender, mut messages) = mpsc::channel(1);
        let cleanup = step(move |(), cx: Context| {
            let sender = sender.clone();
            async move {
                cx.cancelled().await;
                sender.send(Instant::now()).await?;
                std::future::pending::<()>().await;
                Ok(())
            }
        });
        let call = cleanup.spawned().grace(GRACE);
        assert!(timeout(ms(10), call.run((), &Context::new())).await.is_err());
        drop(call);
        let dropped = Instant::now();
        let Some(notified) = messages.recv().await else {
            // On a very busy machine the task may have ended before it started.
            return Duration::MAX;
        };
        // The end of the grace drops the task, and with it the last sender.
        assert!(messages.recv().await.is_none());
        notified.saturating_duration_since(dropped).max(dropped.elapsed().saturating_sub(GRACE))
    })
    .await;
}

/// Waits that end with their context, although their future is not dropped.
async fn cancellation_ends_every_wait_of_the_library() {
    type Wait = fn(Context) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    let waits: [(&str, Wait); 3] = [
        ("for the source", |cx| {
            Box::pin(async move {
                let silent = pending_source();
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

/// Returns a source that never yields an item.
fn pending_source() -> impl futures_core::Stream<Item = usize> + Send + 'static {
    struct Silent;
    impl futures_core::Stream for Silent {
        type Item = usize;

        fn poll_next(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<usize>> {
            std::task::Poll::Pending
        }
    }
    Silent
}
