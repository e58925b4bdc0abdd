//! **Runaways are accounted for**: work that cannot be dropped and outlives its caller keeps its permits until it ends, is
//! told in events and report, and is not done again while it lives, unless it is declared idempotent.
//!
//! *Hazard*: three attempts of one call alive at once, more connections in use than the limit allows, and nobody who knows.
//!
//! *Reports*: <https://github.com/pydantic/pydantic-ai/issues/264>, <https://github.com/run-llama/llama_index/issues/22312>.
//!
//! *Common alternative*: a retry around a timeout around `spawn_blocking` (`cargo run -p hazards -- thread`); LangGraph and
//! Effect do the same (`docs/performance.md`, "A step of 600 ms that ignores its timeout").
//!
//! *Here*: one alive, counted from both ends; a retry waits its wait and a moment, then gives up and says why. Child
//! processes: `tests/it/process.rs`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::{
    BoxStep, Context, ErrorKind, Event, EventKind, EventSink, Limit, Retry, RetryStop, Step, WorkGuard, step,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::probe::ms;
use crate::runtime::Flavour;

on_both_runtimes!(
    a_runaway_is_not_retried_while_it_lives,
    a_retry_goes_on_if_the_runaway_ends_during_the_wait,
    idempotent_work_may_be_retried_beside_its_runaway,
    a_retry_further_out_knows_of_a_runaway_deep_inside,
    never_more_than_the_limit_is_alive_runaways_included,
    a_task_that_gives_way_is_retried_and_nobodys_runaway,
    a_task_can_have_a_grace_to_end_in_good_order,
    a_peer_is_accounted_for_like_a_thread,
    a_reader_of_events_may_end_the_work,
    a_retry_does_not_wait_for_a_runaway_that_is_called_off,
);

/// One thread has nobody to see that a task does not give way.
#[test]
fn a_task_that_does_not_give_way_is_a_runaway_multi_thread() {
    Flavour::MultiThread.run(a_task_that_does_not_give_way_is_a_runaway());
}

/// Counts calls, and how many are alive at once.
#[derive(Clone, Default)]
struct Census(Arc<[AtomicUsize; 3]>);

impl Census {
    fn enter(&self) -> Present {
        let [begun, alive, most] = &*self.0;
        begun.fetch_add(1, Ordering::SeqCst);
        most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Present(self.clone())
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

struct Present(Census);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.0[1].fetch_sub(1, Ordering::SeqCst);
    }
}

/// A thread that does not care whether anybody waits for it, and works until it is let go.
fn stubborn(census: &Census, let_go: &Arc<AtomicBool>) -> BoxStep<(), ()> {
    let (census, let_go) = (census.clone(), let_go.clone());
    step(move |(), cx: Context| {
        let (census, let_go) = (census.clone(), let_go.clone());
        async move {
            cx.blocking(move |_| {
                let _present = census.enter();
                while !let_go.load(Ordering::SeqCst) {
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

async fn a_runaway_is_not_retried_while_it_lives() {
    let (census, let_go, cx) = (Census::default(), Arc::default(), Context::recording());
    let call = stubborn(&census, &let_go).timeout(ms(300)).retry(Retry::immediately()).named("call");
    let error = call.run((), &cx).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts(), census.begun()), (ErrorKind::AllFailed, 1, 1), "{error:#}");
    assert!(error.message().contains("still running") && error.hint().is_some(), "{error:#}");
    assert_eq!(
        count(&cx.events(), |fact| matches!(fact, EventKind::RetryRefused { reason: RetryStop::Runaway, .. })),
        1
    );
    let row = cx.report().steps[0].clone();
    assert_eq!((row.runaways, row.runaways_alive), (1, 1));

    let_go.store(true, Ordering::SeqCst);
    until(|| cx.report().steps[0].runaways_alive == 0).await;
    assert_eq!(count(&cx.events(), |fact| matches!(fact, EventKind::RunawayEnded { .. })), 1);
    assert_eq!(census.alive(), 0);
}

async fn a_retry_goes_on_if_the_runaway_ends_during_the_wait() {
    let (census, let_go) = (Census::default(), Arc::<AtomicBool>::default());
    let call = stubborn(&census, &let_go).timeout(ms(300)).retry(Retry::waits([ms(1000)]));
    let free = async {
        sleep(ms(600)).await;
        let_go.store(true, Ordering::SeqCst);
    };
    let cx = Context::new();
    let (result, ()) = tokio::join!(call.run((), &cx), free);
    result.unwrap();
    assert_eq!((census.begun(), census.most()), (2, 1));
}

async fn idempotent_work_may_be_retried_beside_its_runaway() {
    let (census, let_go) = (Census::default(), Arc::<AtomicBool>::default());
    let call = stubborn(&census, &let_go).idempotent().timeout(ms(300)).retry(Retry::immediately());
    let error = call.run((), &Context::new()).await.unwrap_err();
    assert_eq!((error.attempts(), census.begun()), (3, 3));
    let_go.store(true, Ordering::SeqCst);
    until(|| census.alive() == 0).await;
}

async fn a_retry_further_out_knows_of_a_runaway_deep_inside() {
    let (census, let_go) = (Census::default(), Arc::<AtomicBool>::default());
    // The thread belongs to an item of a stream inside of the call.
    let inner = stubborn(&census, &let_go);
    let call = step(move |(), cx: Context| {
        let inner = inner.clone();
        async move { inner.stream([()], &cx).try_collect().await.map(drop) }
    });
    let call = call.timeout(ms(300)).retry(Retry::immediately());
    let error = call.run((), &Context::new()).await.unwrap_err();
    assert_eq!((error.attempts(), census.begun()), (1, 1), "{error:#}");
    let_go.store(true, Ordering::SeqCst);
    until(|| census.alive() == 0).await;
}

async fn never_more_than_the_limit_is_alive_runaways_included() {
    let (census, let_go) = (Census::default(), Arc::<AtomicBool>::default());
    let limit = Limit::new(2);
    let call = stubborn(&census, &let_go).limit(limit.clone()).timeout(ms(300));
    let outcomes = call.stream(vec![(); 6], &Context::new()).limit(6).collect().await;
    assert!(outcomes.iter().all(|outcome| outcome.result.is_err()));
    assert_eq!((census.begun(), census.most(), limit.available()), (2, 2, Some(0)));
    let_go.store(true, Ordering::SeqCst);
    until(|| limit.available() == Some(2)).await;
}

/// Computes on its task, without an `await`, until it is let go; the first call only.
fn spinning(census: &Census, let_go: &Arc<AtomicBool>) -> BoxStep<(), ()> {
    let (census, let_go) = (census.clone(), let_go.clone());
    step(move |(), _| {
        let (census, let_go) = (census.clone(), let_go.clone());
        async move {
            let _present = census.enter();
            while !let_go.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Ok(())
        }
    })
    .boxed()
}

async fn a_task_that_does_not_give_way_is_a_runaway() {
    let (census, let_go, cx) = (Census::default(), Arc::<AtomicBool>::default(), Context::recording());
    let limit = Limit::new(1);
    let call = spinning(&census, &let_go).spawned().limit(limit.clone()).timeout(ms(300));
    let call = call.retry(Retry::immediately()).named("call");
    let error = call.run((), &cx).await.unwrap_err();
    assert_eq!((error.attempts(), census.begun(), limit.available()), (1, 1, Some(0)), "{error:#}");
    until(|| cx.report().steps[0].runaways_alive == 1).await;
    let_go.store(true, Ordering::SeqCst);
    until(|| limit.available() == Some(1) && cx.report().steps[0].runaways_alive == 0).await;
}

async fn a_task_that_gives_way_is_retried_and_nobodys_runaway() {
    for _ in 0..20 {
        let (census, cx) = (Census::default(), Context::recording());
        let counted = census.clone();
        let call = step(move |(), _| {
            let present = counted.enter();
            async move {
                sleep(Duration::from_secs(60)).await;
                drop(present);
                Ok(())
            }
        });
        let call = call.spawned().timeout(ms(2)).retry(Retry::immediately()).named("call");
        let error = call.run((), &cx).await.unwrap_err();
        assert_eq!((error.attempts(), census.begun(), census.most()), (3, 3, 1));
        sleep(ms(10)).await;
        assert_eq!((cx.report().steps[0].runaways, census.alive()), (0, 0));
    }
}

async fn a_task_can_have_a_grace_to_end_in_good_order() {
    let (sender, mut said) = mpsc::channel(1);
    let tidy = step(move |(), cx: Context| {
        let sender = sender.clone();
        async move {
            cx.cancelled().await;
            sleep(ms(30)).await;
            sender.send("tidied up".to_owned()).await?;
            std::future::pending::<()>().await;
            Ok(())
        }
    });
    let call = tidy.spawned().grace(ms(50)).timeout(ms(10));
    assert_eq!(call.run((), &Context::new()).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(said.recv().await.as_deref(), Some("tidied up"));
    drop(call);
    // The end of the grace drops the task, and with it the last sender.
    assert_eq!(said.recv().await, None);
}

async fn a_peer_is_accounted_for_like_a_thread() {
    let (sender, mut peer) = mpsc::channel::<WorkGuard>(1);
    let (limit, cx) = (Limit::new(1), Context::recording());
    let call = step(move |(), cx: Context| {
        let sender = sender.clone();
        async move {
            let (_tether, custody) = cx.detached_work();
            sender.send(custody).await.map_err(|_| llmspell::Error::failed("the peer is gone"))?;
            std::future::pending::<llmspell::Result<()>>().await
        }
    });
    let call = call.limit(limit.clone()).timeout(ms(10)).retry(Retry::immediately()).named("call");
    assert_eq!(call.run((), &cx).await.unwrap_err().attempts(), 1);
    assert_eq!((limit.available(), cx.report().steps[0].runaways_alive), (Some(0), 1));
    drop(peer.recv().await);
    assert_eq!((limit.available(), cx.report().steps[0].runaways_alive), (Some(1), 0));
}

/// Ends the work as soon as it hears that it is a runaway, as one who kills a peer would.
#[derive(Clone, Default)]
struct Killer(Arc<Mutex<Option<WorkGuard>>>);

impl EventSink for Killer {
    fn record(&self, event: &Event) {
        if event.fact == EventKind::Runaway {
            drop(self.0.lock().unwrap().take());
        }
    }
}

async fn a_reader_of_events_may_end_the_work() {
    let killer = Killer::default();
    let peer = killer.clone();
    let call = step(move |(), cx: Context| {
        let peer = peer.clone();
        async move {
            let (_tether, custody) = cx.detached_work();
            *peer.0.lock().unwrap() = Some(custody);
            std::future::pending::<llmspell::Result<()>>().await
        }
    });
    let cx = Context::recording().with_sink(killer);
    assert!(call.timeout(ms(10)).named("call").run((), &cx).await.is_err());
    assert_eq!(cx.report().steps[0].runaways_alive, 0);
}

async fn a_retry_does_not_wait_for_a_runaway_that_is_called_off() {
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
