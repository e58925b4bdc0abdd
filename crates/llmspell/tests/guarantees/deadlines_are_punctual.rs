//! Deadlines are **punctual**: never early, hardly late, and nothing starts after them.
//!
//! *Hazard*: timers are rounded up to a millisecond, and layers of them add up. Work past its deadline still
//! starts, because a timeout first polls its future.
//!
//! *Reports*: <https://github.com/tokio-rs/tokio/issues/6866>, <https://github.com/openai/openai-python/issues/3828>.
//!
//! *Common alternative*: `timeout` polls its future before it checks the clock, even past its deadline.
//!
//! *Here* (G4): every wait of the library ends at most 3 ms after it is due, and never before. Past a deadline,
//! no step is polled.

use std::pin::Pin;
use std::time::Duration;

use llmspell::{Context, Error, ErrorKind, Hedge, Retry, Step, race, step};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::baseline::at_most;
use crate::probe::{Probe, Watch, ms};

on_both_runtimes!(
    no_deadline_is_early_or_3_ms_late,
    work_past_its_deadline_does_not_start,
    no_second_copy_starts_past_the_deadline,
);

const BOUND: Duration = ms(3);

type Wait = fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `step`, which must fail.
async fn fails<T>(step: impl Step<In = usize, Out = T>, kind: ErrorKind) {
    let error = step.run(0, &Context::new()).await.err().expect("the step must fail");
    assert_eq!(error.kind(), kind, "{error}");
}

const NEVER: u64 = 3_600_000;

/// Waits that each end after the given time.
const WAITS: [(&str, Wait); 8] = [
    ("timeout", |time| Box::pin(fails(Probe::ok(NEVER).timeout(time), ErrorKind::Timeout))),
    ("deadline", |time| {
        Box::pin(fails(Probe::ok(NEVER).retry(Retry::exponential()).deadline(time), ErrorKind::Timeout))
    }),
    ("idle before the first output", |time| {
        Box::pin(fails(Probe::ok(NEVER).idle_timeout(time, ms(NEVER)), ErrorKind::Timeout))
    }),
    ("idle after the first output", |time| {
        let emits_once = step(|_: usize, cx: Context| async move {
            cx.emit("word").await?;
            std::future::pending::<()>().await;
            Ok(())
        });
        Box::pin(fails(emits_once.idle_timeout(ms(NEVER), time), ErrorKind::Timeout))
    }),
    ("a race", |time| Box::pin(fails(race((Probe::ok(NEVER), Probe::ok(NEVER))).timeout(time), ErrorKind::Timeout))),
    ("the wait before a retry", |time| {
        let busy = step(|_: usize, _| async move { Err::<(), _>(Error::failed("busy").transient()) });
        Box::pin(fails(busy.retry(Retry::delays([time])), ErrorKind::AllFailed))
    }),
    ("the delay of a hedge", |time| {
        let second = std::sync::atomic::AtomicBool::new(false);
        let slow_then_fast = step(move |_: usize, _| {
            let wait = if second.swap(true, std::sync::atomic::Ordering::SeqCst) { 0 } else { NEVER };
            async move {
                if wait > 0 {
                    tokio::time::sleep(ms(wait)).await;
                }
                Ok(())
            }
        });
        Box::pin(
            async move { slow_then_fast.idempotent().hedge(Hedge::after(time)).run(0, &Context::new()).await.unwrap() },
        )
    }),
    ("a context", |time| {
        Box::pin(async move { Context::new().with_deadline(Instant::now() + time).cancelled().await })
    }),
];

async fn no_deadline_is_early_or_3_ms_late() {
    for (name, wait) in WAITS {
        at_most(BOUND, name, || async move {
            let mut waits = JoinSet::new();
            for n in 0..30 {
                let time = Duration::from_micros(1000 + 1537 * n);
                waits.spawn(async move {
                    let started = Instant::now();
                    wait(time).await;
                    let took = started.elapsed();
                    assert!(took >= time, "{name}: a wait of {time:?} ended after {took:?}");
                    took - time
                });
            }
            waits.join_all().await.into_iter().max().unwrap()
        })
        .await;
    }
}

async fn work_past_its_deadline_does_not_start() {
    let (watch, cx) = (Watch::default(), Context::new().with_deadline(Instant::now()));
    let probe = || Probe::ok(1).watched(&watch);
    let late = [
        probe().timeout(ms(1000)).boxed(),
        probe().idle_timeout(ms(1000), ms(1000)).boxed(),
        probe().timeout(ms(1000)).retry(Retry::exponential()).boxed(),
        race((probe().timeout(ms(1000)), probe().timeout(ms(1000)))).boxed(),
    ];
    for step in late {
        assert!(step.run(0, &cx).await.is_err());
    }
    let error = probe().timeout(ms(0)).run(0, &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), watch.begun()), (ErrorKind::Timeout, 0));
    let outcomes = probe().stream(0..10, &cx).collect().await;
    assert_eq!((outcomes.len(), watch.begun()), (0, 0));
}

/// The delay and the deadline expire in the same poll, because the task was blocked meanwhile.
async fn no_second_copy_starts_past_the_deadline() {
    let (watch, cx) = (Watch::default(), Context::new());
    let call = Probe::ok(NEVER).watched(&watch).idempotent().hedge(Hedge::after(ms(10))).deadline(ms(20));
    let (result, ()) = tokio::join!(call.run(0, &cx), async {
        sleep(ms(2)).await;
        #[expect(clippy::disallowed_methods, reason = "stands for a busy machine")]
        std::thread::sleep(ms(40));
    });
    assert_eq!((result.unwrap_err().kind(), watch.begun()), (ErrorKind::Timeout, 1));
}
