//! **Ready work starves no task**: timers, cancellation and other tasks run beside steps that never wait.
//!
//! *Hazard*: a loop over work that is always ready never yields. The timeout around it does not fire, the task
//! cannot be aborted, and on one thread nothing else runs.
//!
//! *Reports*: <https://github.com/rust-lang/futures-rs/issues/2047>, <https://github.com/tokio-rs/tokio/issues/4291>.
//!
//! *Common alternative*: `timeout` around a loop over `buffer_unordered` fires only when the loop has ended
//! (`cargo run -p hazards -- ready`).
//!
//! *Here* (G8): a timeout of 20 ms around any loop of the library fires within 50 ms. On one thread that is CPU
//! time, which stops while the machine runs something else; on several threads it is wall-clock time. (A future
//! that computes without an `await` cannot be interrupted.)

use std::pin::Pin;
use std::time::Duration;

use llmspell::pattern::stream::Streaming;
use llmspell::step::BoxStep;
use llmspell::{Context, Error, Limit, Outcome, Retry, Step, all, pipeline, race, step, try_all, try_join, value};
use tokio::task::{JoinSet, consume_budget};
use tokio::time::{Instant, sleep, timeout};

use crate::baseline::Stopwatch;
use crate::probe::ms;

on_both_runtimes!(
    always_ready_work_can_be_timed_out,
    always_ready_work_yields_to_other_tasks,
    always_ready_work_can_be_cancelled,
    busy_branch_starves_no_sibling,
);

type Endless = fn() -> Pin<Box<dyn Future<Output = ()> + Send>>;

fn ready() -> impl Step<In = u64, Out = u64> {
    step(|n: u64, _| async move { Ok(n) })
}

async fn drain<S: Step>(mut stream: Streaming<S>) {
    while stream.next().await.is_some() {}
}

/// Returns a step that never waits but uses up the cooperative budget of its task.
fn busy() -> impl Step<In = u64, Out = u64> {
    step(|_: u64, _| async move {
        loop {
            consume_budget().await;
        }
        #[expect(unreachable_code, reason = "gives the closure its type")]
        Ok(0)
    })
}

fn talker() -> impl Step<In = (), Out = ()> {
    step(|(), cx: Context| async move {
        loop {
            cx.emit("word").await?;
        }
        #[expect(unreachable_code, reason = "gives the closure its type")]
        Ok(())
    })
}

/// Loops that never wait, each in the caller's task.
const ENDLESS: [(&str, Endless); 14] = [
    ("stream", || Box::pin(drain(ready().stream(0.., &Context::new())))),
    ("stream in order", || Box::pin(drain(ready().stream(0.., &Context::new()).ordered()))),
    ("stream with a window", || Box::pin(drain(ready().stream(0.., &Context::new()).limit(64).window(64)))),
    ("stream, one at a time", || Box::pin(drain(ready().stream(0.., &Context::new()).limit(1)))),
    ("stream of a stream", || {
        let cx = Context::new();
        let outer = step(|outcome: Outcome<u64>, _| async move { outcome.result });
        Box::pin(drain(outer.stream(ready().stream(0.., &cx), &cx)))
    }),
    ("stream that is far ahead", || Box::pin(drain(ready().stream(0.., &Context::new()).limit(1_000_000)))),
    ("until never", || {
        Box::pin(async {
            ready().stream(0.., &Context::new()).until(|_| false).collect().await;
        })
    }),
    ("pipeline", || {
        let flow = pipeline("p").stage("a", ready()).limit(2).stage("b", ready());
        Box::pin(drain(flow.stream(0.., &Context::new())))
    }),
    ("retry", || {
        let fails = step(|_: u64, _| async move { Err::<u64, _>(Error::failed("busy").transient()) });
        let blocking_work = fails.retry(Retry::immediately().max_attempts(u32::MAX));
        Box::pin(async move { drop(blocking_work.run(0, &Context::new()).await) })
    }),
    ("limit", || {
        let limited = ready().limit(Limit::new(1));
        Box::pin(async move {
            loop {
                limited.run(1, &Context::new()).await.unwrap();
            }
        })
    }),
    ("all", || {
        let group = all([ready(), ready()]);
        Box::pin(async move {
            loop {
                group.run(1, &Context::new()).await.unwrap();
            }
        })
    }),
    ("output without a reader", || Box::pin(async { talker().run((), &Context::new()).await.unwrap() })),
    ("output whose reader was dropped", || {
        Box::pin(async { talker().run((), &Context::new().with_chunks(1).0).await.unwrap() })
    }),
    ("output that is read at once", || {
        Box::pin(async {
            let (cx, mut chunks) = Context::new().with_chunks(1024);
            let read = async { while chunks.next().await.is_some() {} };
            tokio::join!(read, async { talker().run((), &cx).await.unwrap() });
        })
    }),
];

/// Measures at most five times, because a busy machine can delay anything.
async fn within<F: Future<Output = Duration>>(bound: Duration, name: &str, measure: impl Fn() -> F) {
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let figure = measure().await;
        if figure <= bound {
            return;
        }
        seen.push(figure);
    }
    panic!("{name}: more than {bound:?}: {seen:?}");
}

/// The time by which a timeout of 20 ms must have fired, and the longest wait of any other task.
const BOUND: Duration = ms(50);

async fn always_ready_work_can_be_timed_out() {
    for (name, endless) in ENDLESS {
        within(BOUND, name, move || async move {
            let clock = Stopwatch::start();
            assert!(timeout(ms(20), endless()).await.is_err());
            clock.elapsed()
        })
        .await;
        within(BOUND, name, move || async move {
            let clock = Stopwatch::start();
            assert!(as_step(endless).timeout(ms(20)).run((), &Context::new()).await.is_err());
            clock.elapsed()
        })
        .await;
    }
}

fn as_step(endless: Endless) -> BoxStep<(), ()> {
    let run = move |(), _| async move {
        endless().await;
        Ok(())
    };
    step(run).boxed()
}

/// Another task, which only this work could delay.
async fn always_ready_work_yields_to_other_tasks() {
    for (name, endless) in ENDLESS {
        within(BOUND, name, move || async move {
            let mut work = JoinSet::new();
            work.spawn(endless());
            let started = Instant::now();
            let mut longest = Duration::ZERO;
            while started.elapsed() < ms(50) {
                let clock = Stopwatch::start();
                sleep(ms(2)).await;
                longest = longest.max(clock.elapsed());
            }
            work.shutdown().await;
            longest
        })
        .await;
    }
}

async fn always_ready_work_can_be_cancelled() {
    let (cx, canceller) = Context::new().cancellable();
    let mut stream = ready().stream(0.., &cx);
    let mut delivered = 0;
    while stream.next().await.is_some() {
        delivered += 1;
        if delivered == 1000 {
            canceller.cancel();
        }
    }
    assert!(delivered <= 1000 + 16, "{delivered}");
}

async fn busy_branch_starves_no_sibling() {
    let quick = |n: u64| {
        step(move |_: u64, _| async move {
            sleep(ms(5)).await;
            if n > 0 { Ok(n) } else { Err(Error::failed("early")) }
        })
        .boxed()
    };
    let busy = || busy().boxed();
    let groups = [
        ("race", race((busy(), quick(7))).boxed()),
        ("race of many", race(vec![busy(), quick(7), busy()]).boxed()),
        ("try_join", try_join((busy(), quick(0))).map(|outs| outs.0).fallback(value(7u64)).boxed()),
        ("try_all", try_all([busy(), quick(0)]).map(|outs| outs[0]).fallback(value(7u64)).boxed()),
        ("timeout", race((busy(), busy().timeout(ms(5)).fallback(value(7u64)))).boxed()),
    ];
    for (name, group) in groups {
        within(BOUND, name, || async {
            let clock = Stopwatch::start();
            assert_eq!(group.run(0, &Context::new()).await.unwrap(), 7);
            clock.elapsed()
        })
        .await;
    }
}
