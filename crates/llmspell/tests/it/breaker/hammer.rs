//! A half-open breaker under load from several threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::{Breaker, Context, Error, ErrorKind, Step, step};
use tokio::sync::Barrier;

use crate::probe::{Watch, ms};

/// How many calls are admitted before the test ends.
const PROBES: usize = 2000;

/// Runs endless calls from four threads through a breaker that half-opens every few microseconds. None of them
/// succeeds, so each admitted call is a probe. Probes fail, do not count, panic, or are dropped while they run.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn never_more_probes_than_allowed() {
    for most in [1, 2, 5] {
        let open = Duration::from_micros(20);
        let breaker = Breaker::builder().consecutive_failures(1).open_for(open).max_open(open).probes(most).build();
        let opens = step(|_: usize, _| async { Err::<(), _>(Error::overloaded("first")) }).breaker(breaker.clone());
        opens.run(0, &Context::new()).await.unwrap_err();

        let watch = Watch::default();
        let seen = watch.clone();
        let probe = step(move |n: usize, _| {
            let alive = seen.enter();
            async move {
                let _alive = alive;
                for _ in 0..n % 32 {
                    tokio::task::yield_now().await;
                }
                match n % 11 {
                    0 => Err::<(), _>(Error::invalid("does not count")),
                    1 => panic!("a probe"),
                    2 => std::future::pending().await,
                    _ => Err(Error::overloaded("again")),
                }
            }
        });
        // Some are dropped while they run, at the second poll.
        let guarded = Arc::new(probe.breaker(breaker.clone()));
        let rejected = Arc::new(AtomicUsize::new(0));
        let count = rejected.clone();
        let call = step(move |n: usize, cx: Context| {
            let (guarded, count) = (guarded.clone(), count.clone());
            async move {
                let result = if n.is_multiple_of(3) || n % 11 == 2 {
                    tokio::select! {
                        biased;
                        result = guarded.run(n, &cx) => result,
                        () = tokio::task::yield_now() => Ok(()),
                    }
                } else {
                    guarded.run(n, &cx).await
                };
                if result.is_err_and(|error| error.kind() == ErrorKind::Rejected) {
                    count.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
        });
        let (begun, calls) = (watch.clone(), Context::new());
        let calls = call.stream((0..).take_while(move |_| begun.begun() < PROBES), &calls).limit(16).collect();
        tokio::time::timeout(Duration::from_secs(60), calls).await.expect("a probe was lost");
        assert_eq!(watch.most_at_once(), most as usize);
        assert_eq!(watch.alive(), 0);
        assert!(rejected.load(Ordering::Relaxed) > 0);

        // No probe was lost: all of them can be admitted at once.
        tokio::time::sleep(ms(5)).await;
        let all = Arc::new(Barrier::new(most as usize));
        let meets = step(move |_: usize, _| {
            let all = all.clone();
            async move {
                all.wait().await;
                Ok(())
            }
        });
        let probes = meets.breaker(breaker.clone()).stream(0..most as usize, &Context::new()).try_collect();
        tokio::time::timeout(Duration::from_secs(10), probes).await.expect("a probe was lost").unwrap();
        assert!(breaker.is_closed());
    }
}
