//! **Runaways are accounted for**: work that cannot be dropped and outlives its caller keeps its permits until
//! it ends. It appears in events and report, and is not retried while it runs, unless it is declared
//! idempotent.
//!
//! *Hazard*: three attempts of one call run at the same time and use more connections than the limit allows,
//! unnoticed.
//!
//! *Reports*: <https://github.com/pydantic/pydantic-ai/issues/264>, <https://github.com/run-llama/llama_index/issues/22312>.
//!
//! *Common alternative*: a retry around a timeout around `spawn_blocking` (`cargo run -p hazards -- thread`);
//! LangGraph and Effect do the same (`docs/performance.md`, "A step of 600 ms that ignores its timeout").
//!
//! *Here*: one running attempt, tracked from both ends. A retry waits for its delay and a moment, then gives up
//! with the reason. Child processes: `tests/it/process.rs`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::context::WorkGuard;
use llmspell::observe::{Event, EventKind, EventSink, RetryStop};
use llmspell::step::BoxStep;
use llmspell::{Context, ErrorKind, Limit, Retry, Step, step};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::probe::ms;
use crate::runtime::Flavour;

on_both_runtimes!(
    runaway_is_not_retried_while_it_runs,
    retry_continues_if_the_runaway_ends_during_the_delay,
    idempotent_work_is_retried_beside_its_runaway,
    outer_retry_sees_a_nested_runaway,
    runaways_count_against_the_limit,
    task_that_yields_is_retried_and_no_runaway,
    task_can_clean_up_within_its_grace,
    remote_peer_counts_like_a_thread,
    event_sink_can_end_the_work,
    cancelled_retry_does_not_wait_for_a_runaway,
);

/// Multi-thread only: on one thread, no other task can see that a task does not yield.
#[test]
fn task_that_never_yields_is_a_runaway_multi_thread() {
    Flavour::MultiThread.run(task_that_never_yields_is_a_runaway());
}

/// Counts calls, and how many run at the same time.
#[derive(Clone, Default)]
struct CallCounts(Arc<[AtomicUsize; 3]>);

impl CallCounts {
    fn enter(&self) -> RunningCall {
        let [begun, alive, most] = &*self.0;
        begun.fetch_add(1, Ordering::SeqCst);
        most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        RunningCall(self.clone())
    }

    fn begun(&self) -> usize {
        self.0[0].load(Ordering::SeqCst)
    }

    fn alive(&self) -> usize {
        self.0[1].load(Ordering::SeqCst)
    }

    fn most(&self) -> usize {
        self.0[2].load(Ordering::SeqCst)
    }
}

struct RunningCall(CallCounts);

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.0[1].fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns a step that runs on a thread and ignores its caller until it is released.
fn blocking_work(counts: &CallCounts, release: &Arc<AtomicBool>) -> BoxStep<(), ()> {
    let (counts, release) = (counts.clone(), release.clone());
    step(move |(), cx: Context| {
        let (counts, release) = (counts.clone(), release.clone());
        async move {
            cx.blocking(move |_| {
                let _present = counts.enter();
                while !release.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                Ok(())
            })
            .await
        }
    })
    .boxed()
}

async fn until(mut holds: impl FnMut() -> bool) {
    timeout(Duration::from_secs(10), async {
        while !holds() {
            sleep(ms(1)).await;
        }
    })
    .await
    .expect("within ten seconds");
}

fn count(events: &[Event], wanted: impl Fn(&EventKind) -> bool) -> usize {
    events.iter().filter(|event| wanted(&event.fact)).count()
}

async fn runaway_is_not_retried_while_it_runs() {
    let (counts, release, cx) = (CallCounts::default(), Arc::default(), Context::recording());
    let call = blocking_work(&counts, &release).timeout(ms(300)).retry(Retry::immediately()).named("call");
    let error = call.run((), &cx).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts(), counts.begun()), (ErrorKind::AllFailed, 1, 1), "{error:#}");
    assert!(error.message().contains("still running") && error.hint().is_some(), "{error:#}");
    assert_eq!(
        count(&cx.events(), |fact| matches!(fact, EventKind::RetryRefused { reason: RetryStop::Runaway, .. })),
        1
    );
    let row = cx.report().steps[0].clone();
    assert_eq!((row.runaways, row.runaways_alive), (1, 1));

    release.store(true, Ordering::SeqCst);
    until(|| cx.report().steps[0].runaways_alive == 0).await;
    assert_eq!(count(&cx.events(), |fact| matches!(fact, EventKind::RunawayEnded { .. })), 1);
    assert_eq!(counts.alive(), 0);
}

async fn retry_continues_if_the_runaway_ends_during_the_delay() {
    let (counts, release) = (CallCounts::default(), Arc::<AtomicBool>::default());
    let call = blocking_work(&counts, &release).timeout(ms(300)).retry(Retry::delays([ms(1000)]));
    let free = async {
        sleep(ms(600)).await;
        release.store(true, Ordering::SeqCst);
    };
    let cx = Context::new();
    let (result, ()) = tokio::join!(call.run((), &cx), free);
    result.unwrap();
    assert_eq!((counts.begun(), counts.most()), (2, 1));
}

async fn idempotent_work_is_retried_beside_its_runaway() {
    let (counts, release) = (CallCounts::default(), Arc::<AtomicBool>::default());
    let call = blocking_work(&counts, &release).idempotent().timeout(ms(300)).retry(Retry::immediately());
    let error = call.run((), &Context::new()).await.unwrap_err();
    assert_eq!((error.attempts(), counts.begun()), (3, 3));
    release.store(true, Ordering::SeqCst);
    until(|| counts.alive() == 0).await;
}

async fn outer_retry_sees_a_nested_runaway() {
    let (counts, release) = (CallCounts::default(), Arc::<AtomicBool>::default());
    // The thread belongs to an item of a stream inside the call.
    let inner = blocking_work(&counts, &release);
    let call = step(move |(), cx: Context| {
        let inner = inner.clone();
        async move { inner.stream([()], &cx).try_collect().await.map(drop) }
    });
    let call = call.timeout(ms(300)).retry(Retry::immediately());
    let error = call.run((), &Context::new()).await.unwrap_err();
    assert_eq!((error.attempts(), counts.begun()), (1, 1), "{error:#}");
    release.store(true, Ordering::SeqCst);
    until(|| counts.alive() == 0).await;
}

async fn runaways_count_against_the_limit() {
    let (counts, release) = (CallCounts::default(), Arc::<AtomicBool>::default());
    let limit = Limit::new(2);
    let call = blocking_work(&counts, &release).limit(limit.clone()).timeout(ms(300));
    let outcomes = call.stream(vec![(); 6], &Context::new()).limit(6).collect().await;
    assert!(outcomes.iter().all(|outcome| outcome.result.is_err()));
    assert_eq!((counts.begun(), counts.most(), limit.available()), (2, 2, Some(0)));
    release.store(true, Ordering::SeqCst);
    until(|| limit.available() == Some(2)).await;
}

/// Returns a step that computes on its task, without an `await`, until it is released; the first call only.
fn spinning(counts: &CallCounts, release: &Arc<AtomicBool>) -> BoxStep<(), ()> {
    let (counts, release) = (counts.clone(), release.clone());
    step(move |(), _| {
        let (counts, release) = (counts.clone(), release.clone());
        async move {
            let _present = counts.enter();
            while !release.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Ok(())
        }
    })
    .boxed()
}

async fn task_that_never_yields_is_a_runaway() {
    let (counts, release, cx) = (CallCounts::default(), Arc::<AtomicBool>::default(), Context::recording());
    let limit = Limit::new(1);
    let call = spinning(&counts, &release).spawned().limit(limit.clone()).timeout(ms(300));
    let call = call.retry(Retry::immediately()).named("call");
    let error = call.run((), &cx).await.unwrap_err();
    assert_eq!((error.attempts(), counts.begun(), limit.available()), (1, 1, Some(0)), "{error:#}");
    until(|| cx.report().steps[0].runaways_alive == 1).await;
    release.store(true, Ordering::SeqCst);
    until(|| limit.available() == Some(1) && cx.report().steps[0].runaways_alive == 0).await;
}

async fn task_that_yields_is_retried_and_no_runaway() {
    for _ in 0..20 {
        let (counts, cx) = (CallCounts::default(), Context::recording());
        let counted = counts.clone();
        let call = step(move |(), _| {
            let running = counted.enter();
            async move {
                sleep(Duration::from_secs(60)).await;
                drop(running);
                Ok(())
            }
        });
        let call = call.spawned().timeout(ms(2)).retry(Retry::immediately()).named("call");
        let error = call.run((), &cx).await.unwrap_err();
        assert_eq!((error.attempts(), counts.begun(), counts.most()), (3, 3, 1));
        sleep(ms(10)).await;
        assert_eq!((cx.report().steps[0].runaways, counts.alive()), (0, 0));
    }
}

async fn task_can_clean_up_within_its_grace() {
    let (sender, mut messages) = mpsc::channel(1);
    let cleanup = step(move |(), cx: Context| {
        let sender = sender.clone();
        async move {
            cx.cancelled().await;
            sleep(ms(30)).await;
            sender.send("cleaned up".to_owned()).await?;
            std::future::pending::<()>().await;
            Ok(())
        }
    });
    let call = cleanup.spawned().grace(ms(50)).timeout(ms(10));
    assert_eq!(call.run((), &Context::new()).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(messages.recv().await.as_deref(), Some("cleaned up"));
    drop(call);
    // The end of the grace drops the task, and with it the last sender.
    assert_eq!(messages.recv().await, None);
}

async fn remote_peer_counts_like_a_thread() {
    let (sender, mut peer) = mpsc::channel::<WorkGuard>(1);
    let (limit, cx) = (Limit::new(1), Context::recording());
    let call = step(move |(), cx: Context| {
        let sender = sender.clone();
        async move {
            let (_caller, work_guard) = cx.detached_work();
            sender.send(work_guard).await.map_err(|_| llmspell::Error::failed("the peer is gone"))?;
            std::future::pending::<llmspell::Result<()>>().await
        }
    });
    let call = call.limit(limit.clone()).timeout(ms(10)).retry(Retry::immediately()).named("call");
    assert_eq!(call.run((), &cx).await.unwrap_err().attempts(), 1);
    assert_eq!((limit.available(), cx.report().steps[0].runaways_alive), (Some(0), 1));
    drop(peer.recv().await);
    assert_eq!((limit.available(), cx.report().steps[0].runaways_alive), (Some(1), 0));
}

/// Ends the work as soon as it is reported as a runaway, as a sink that kills a remote peer would.
#[derive(Clone, Default)]
struct EndOnRunaway(Arc<Mutex<Option<WorkGuard>>>);

impl EventSink for EndOnRunaway {
    fn record(&self, event: &Event) {
        if event.fact == EventKind::Runaway {
            drop(self.0.lock().unwrap().take());
        }
    }
}

async fn event_sink_can_end_the_work() {
    let sink = EndOnRunaway::default();
    let peer = sink.clone();
    let call = step(move |(), cx: Context| {
        let peer = peer.clone();
        async move {
            let (_caller, work_guard) = cx.detached_work();
            *peer.0.lock().unwrap() = Some(work_guard);
            std::future::pending::<llmspell::Result<()>>().await
        }
    });
    let cx = Context::recording().with_sink(sink);
    assert!(call.timeout(ms(10)).named("call").run((), &cx).await.is_err());
    assert_eq!(cx.report().steps[0].runaways_alive, 0);
}

async fn cancelled_retry_does_not_wait_for_a_runaway() {
    let slow = step(|(), _| async move {
        sleep(Duration::from_secs(60)).await;
        Ok(())
    });
    let call = slow.spawned().grace(Duration::MAX).timeout(ms(10)).retry(Retry::immediately());
    let (cx, canceller) = Context::new().cancellable();
    let began = Instant::now();
    let (result, ()) = tokio::join!(call.run((), &cx), async {
        sleep(ms(100)).await;
        canceller.cancel();
    });
    assert_eq!(result.unwrap_err().attempts(), 1);
    assert!(began.elapsed() < Duration::from_secs(20));
}
