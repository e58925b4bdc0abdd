//! **No futurelock**: items, branches and consumer can share any lock or semaphore.
//!
//! *Hazard*: a future that holds the lock, or is next in its queue, is no longer polled, while the polled work
//! waits for the lock. The program makes no progress and reports no error.
//!
//! *Reports*: <https://rfd.shared.oxide.computer/rfd/0609>, <https://github.com/oxidecomputer/omicron/issues/9259>,
//! <https://blog.polybdenum.com/2022/07/24/fixing-the-next-thousand-deadlocks-why-buffered-streams-are-broken-and-how-to-make-them-safer.html>,
//! <https://github.com/restatedev/sdk-rust/issues/89>.
//!
//! *Common alternative*: `buffer_unordered` whose items share a mutex with the loop body, and `select!` on a
//! `&mut` future with a lock in another arm (`cargo run -p hazards -- lock`).
//!
//! *Here* (G2): a thousand items share one permit with their consumer, and finish. (G2b): no combinator waits
//! while it duration a started future that it does not poll. (G2c): a waiter for a permit, a rate or a budget that
//! is no longer polled does not block the waiters behind it.

use std::sync::Arc;
use std::time::Duration;

use llmspell::observe::Usage;
use llmspell::pattern::stream::Stragglers;
use llmspell::step::BoxStep;
use llmspell::{Budget, Context, Error, Hedge, Limit, Rate, Retry, Step, all, join, pipeline, race, settle, step};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::probe::ms;

on_both_runtimes!(
    items_and_consumer_may_share_a_lock,
    items_and_consumer_may_share_a_semaphore,
    items_and_consumer_may_share_a_limit,
    branches_may_share_a_lock,
    second_copies_of_the_last_items_may_share_their_lock,
    next_attempt_can_take_the_lock_of_the_last,
    item_can_take_the_lock_of_the_source,
    stopping_work_releases_its_lock,
    unpolled_waiter_blocks_no_other,
);

const ITEMS: usize = 1000;

/// Fails instead of hanging, after ample time.
async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), work).await.unwrap_or_else(|_| panic!("{what}: deadlock"))
}

async fn items_and_consumer_may_share_a_lock() {
    for (limit, ordered) in [(1, false), (8, false), (8, true)] {
        let lock = Arc::new(Mutex::new(0));
        let shared = lock.clone();
        let add = step(move |_: usize, _| {
            let lock = shared.clone();
            async move {
                let mut guard = lock.lock().await;
                yield_now().await;
                *guard += 1;
                Ok(())
            }
        });
        let work = async {
            let stream = add.stream(0..ITEMS, &Context::new()).limit(limit);
            let mut stream = if ordered { stream.ordered() } else { stream };
            while stream.next().await.is_some() {
                let mut guard = lock.lock().await;
                yield_now().await;
                *guard += 1;
            }
        };
        in_time("a stream", work).await;
        assert_eq!(*lock.lock().await, 2 * ITEMS);
    }
}

/// As with a connection pool: fewer permits than items in flight.
async fn items_and_consumer_may_share_a_semaphore() {
    for permits in [1, 2] {
        let pool = Arc::new(Semaphore::new(permits));
        let shared = pool.clone();
        let query = move || {
            let pool = shared.clone();
            step(move |n: usize, _| {
                let pool = pool.clone();
                async move {
                    let _connection = pool.acquire().await?;
                    yield_now().await;
                    Ok(n)
                }
            })
        };
        // Both stages and the consumer need a connection.
        let flow = pipeline("queries").stage("read", query()).limit(4).stage("write", query()).limit(4);
        let work = async {
            let mut stream = flow.stream(0..ITEMS, &Context::new()).ordered();
            let mut delivered = 0;
            while let Some(outcome) = stream.next().await {
                assert_eq!(outcome.result.unwrap(), delivered);
                let _connection = pool.acquire().await.unwrap();
                yield_now().await;
                delivered += 1;
            }
            delivered
        };
        assert_eq!(in_time("a pipeline", work).await, ITEMS);
    }
}

async fn items_and_consumer_may_share_a_limit() {
    let (one, cx) = (Limit::new(1), Context::new());
    let query = || {
        step(|n: usize, _| async move {
            yield_now().await;
            Ok(n)
        })
        .limit(one.clone())
    };
    let work = async {
        let mut stream = query().stream(0..ITEMS, &cx).limit(8).ordered();
        let mut delivered = 0;
        while let Some(outcome) = stream.next().await {
            assert_eq!(query().run(delivered, &cx).await.unwrap(), outcome.result.unwrap());
            delivered += 1;
        }
        delivered
    };
    assert_eq!(in_time("a stream", work).await, ITEMS);
    assert_eq!(one.available(), Some(1));
}

/// Returns a step that takes the lock and holds it for a while.
fn locking(lock: &Arc<Mutex<usize>>, duration: Duration) -> BoxStep<usize, usize> {
    let lock = lock.clone();
    let hold = move |n: usize, _| {
        let lock = lock.clone();
        async move {
            let mut guard = lock.lock().await;
            sleep(duration).await;
            *guard += 1;
            Ok(n)
        }
    };
    step(hold).boxed()
}

/// Concurrent branches that all need the lock.
async fn branches_may_share_a_lock() {
    let lock = Arc::new(Mutex::new(0));
    let branch = || locking(&lock, ms(5));
    let groups: [(&str, BoxStep<usize, usize>); 7] = [
        ("join", join((branch(), branch(), branch())).map(|outs| outs.0).boxed()),
        ("join, one at a time", join((branch(), branch(), branch())).limit(1).map(|outs| outs.0).boxed()),
        ("all", all([branch(), branch(), branch()]).map(|outs| outs[0]).boxed()),
        ("settle", settle((branch(), branch())).then_fn(|outs, _| async move { outs.1.result }).boxed()),
        ("race", race((branch(), branch(), branch())).boxed()),
        ("race, first output", race((branch(), branch())).first_output().boxed()),
        // The second copy starts while the first holds the lock.
        ("hedge", branch().idempotent().hedge(Hedge::after(ms(1)).max_share(1.0)).boxed()),
    ];
    for (name, group) in groups {
        for n in 0..10 {
            assert_eq!(in_time(name, group.run(n, &Context::new())).await.unwrap(), n);
        }
    }
    assert!(lock.try_lock().is_ok());
}

async fn second_copies_of_the_last_items_may_share_their_lock() {
    let (lock, cx) = (Arc::new(Mutex::new(0)), Context::new());
    let items = locking(&lock, ms(3)).idempotent().stream(0..20, &cx).limit(4);
    let items = items.stragglers(Stragglers::last(4).slower_than(1.0)).ordered().try_collect();
    assert_eq!(in_time("a stream", items).await.unwrap(), (0..20).collect::<Vec<_>>());
}

/// A finished attempt must not be kept with its lock while the next one waits for that lock.
async fn next_attempt_can_take_the_lock_of_the_last() {
    let lock = Arc::new(Mutex::new(0));
    let hangs = || locking(&lock, Duration::from_secs(3600)).timeout(ms(5));
    let fails = || {
        let lock = lock.clone();
        step(move |_: usize, _| {
            let lock = lock.clone();
            async move {
                let _guard = lock.lock_owned().await;
                yield_now().await;
                Err::<usize, _>(Error::failed("busy").transient())
            }
        })
    };
    let then = || locking(&lock, ms(1));
    let steps: [(&str, BoxStep<usize, usize>, bool); 6] = [
        ("a retry of what hangs", hangs().retry(Retry::immediately()).boxed(), false),
        ("a retry of what fails", fails().retry(Retry::immediately()).boxed(), false),
        ("a fallback of what hangs", hangs().fallback(then()).boxed(), true),
        ("a fallback of what fails", fails().fallback(then()).boxed(), true),
        ("a race that is lost", race((hangs(), step(|n: usize, _| async move { Ok(n) }))).then(then()).boxed(), true),
        (
            "a group that is stopped",
            llmspell::try_join((hangs(), fails())).map(|outs| outs.0).fallback(then()).boxed(),
            true,
        ),
    ];
    for (name, step, succeeds) in steps {
        let result = in_time(name, step.run(1, &Context::new())).await;
        assert_eq!(result.is_ok(), succeeds, "{name}");
        assert!(lock.try_lock().is_ok(), "{name}");
    }
}

/// The consumer polls the source between two outcomes.
async fn item_can_take_the_lock_of_the_source() {
    let lock = Arc::new(std::sync::Mutex::new(0));
    let (source, shared) = (lock.clone(), lock.clone());
    let inputs = (0..ITEMS).inspect(move |_| *source.lock().unwrap() += 1);
    let work = step(move |n: usize, _| {
        let lock = shared.clone();
        async move {
            *lock.lock().unwrap() += 1;
            yield_now().await;
            Ok(n)
        }
    });
    in_time("a stream", work.stream(inputs, &Context::new()).limit(8).collect()).await;
    assert_eq!(*lock.lock().unwrap(), 2 * ITEMS);
}

async fn stopping_work_releases_its_lock() {
    let lock = Arc::new(Mutex::new(0));
    for ordered in [false, true] {
        let mut stream = locking(&lock, Duration::from_secs(3600)).stream(0..10, &Context::new()).limit(4);
        if ordered {
            stream = stream.ordered();
        }
        assert!(timeout(ms(5), stream.next()).await.is_err());
        drop(stream);
        *in_time("a stream that was dropped", lock.lock()).await += 1;

        let quick = step(|n: usize, _| async move { Ok(n) });
        let either = all([locking(&lock, Duration::from_secs(3600)), quick.boxed()]).timeout(ms(5));
        assert!(either.run(0, &Context::new()).await.is_err());
        *in_time("a group past its deadline", lock.lock()).await += 1;
    }
}

/// The state that a `select!` on `&mut first` leaves: a waiter in the queue while another branch runs.
async fn unpolled_waiter_blocks_no_other() {
    let limit = Limit::new(1);
    let rate = Rate::builder().per(1, ms(5)).burst(Duration::ZERO).build();
    let budget = Budget::tokens(100).estimate(Usage::new(100, 0));
    let work = || {
        step(|n: usize, cx: Context| async move {
            sleep(ms(2)).await;
            cx.record_usage(Usage::default());
            Ok(n)
        })
    };
    let queues: [(&str, BoxStep<usize, usize>); 4] = [
        ("a limit", work().limit(limit.clone()).boxed()),
        ("a rate", work().rate(rate.clone()).boxed()),
        ("a budget", work().budget(budget.clone()).boxed()),
        ("all of them", work().limit(limit).rate(rate).budget(budget).boxed()),
    ];
    for (name, step) in queues {
        let cx = Context::new();
        let holds = step.run(0, &cx);
        let others = async {
            sleep(ms(1)).await;
            let mut first = Box::pin(step.run(1, &cx));
            let mut second = Box::pin(step.run(2, &cx));
            tokio::select! {
                biased;
                _ = &mut first => panic!("{name}: the permit is taken"),
                _ = &mut second => panic!("{name}: the permit is taken"),
                () = std::future::ready(()) => {}
            }
            // Both are queued, and neither is polled while the next ones wait behind them.
            drop(second);
            if name == "a rate" {
                assert_eq!(step.run(3, &cx).await.unwrap(), 3, "{name}");
            }
            // A permit or a reservation that becomes free is assigned to them, and stays so until they are
            // dropped.
            let (last, ()) = tokio::join!(step.run(4, &cx), async {
                sleep(ms(20)).await;
                drop(first);
            });
            assert_eq!(last.unwrap(), 4, "{name}");
        };
        let (held, ()) = in_time(name, async { tokio::join!(holds, others) }).await;
        assert_eq!(held.unwrap(), 0, "{name}");
    }
}
