//! A stream whose limit changes while it runs.

use std::sync::{Arc, Mutex};

use llmspell::{Context, Step};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use crate::probe::{Probe, Watch, ms};

#[tokio::test(start_paused = true)]
async fn larger_limit_applies_immediately() {
    let watch = Watch::default();
    let mut stream = Probe::ok(1000).watched(&watch).stream(0..40, &Context::new()).limit(2);
    let limit = stream.limit_handle();
    let started = Instant::now();
    let growing = async {
        sleep(ms(500)).await;
        assert_eq!(watch.alive(), 2);
        limit.resize(38);
        sleep(ms(10)).await;
        assert_eq!(watch.alive(), 38, "while the first two are running");
    };
    let (outcomes, ()) = tokio::join!(stream.collect(), growing);
    assert_eq!((outcomes.len(), watch.most_at_once()), (40, 38));
    assert_eq!(started.elapsed(), ms(2000), "the last two follow the first two");
}

#[tokio::test(start_paused = true)]
async fn smaller_limit_stops_no_item_and_pulls_none() {
    let watch = Watch::default();
    let mut stream = Probe::ok(100).watched(&watch).stream(0..30, &Context::new()).limit(10);
    let limit = stream.limit_handle();
    let shrinking = async {
        sleep(ms(50)).await;
        limit.resize(1);
        assert_eq!((watch.alive(), limit.items()), (10, 1));
        sleep(ms(100)).await;
        assert_eq!((watch.alive(), watch.begun(), watch.completed()), (1, 11, 10));
    };
    let (outcomes, ()) = tokio::join!(stream.collect(), shrinking);
    assert!(outcomes.len() == 30 && outcomes.iter().all(|outcome| outcome.is_ok()));
}

#[tokio::test(start_paused = true)]
async fn larger_limit_admits_items_behind_a_slow_one() {
    let watch = Watch::default();
    let slow_head = {
        let watch = watch.clone();
        llmspell::step(move |n: usize, _| {
            let alive = watch.enter();
            async move {
                sleep(ms(if n == 0 { 10_000 } else { 10 })).await;
                alive.complete();
                Ok(n)
            }
        })
    };
    let mut stream = slow_head.stream(0..100, &Context::new()).limit(4).ordered();
    let limit = stream.limit_handle();
    let growing = async {
        sleep(ms(100)).await;
        assert_eq!(watch.begun(), 4, "the first item blocks the others");
        limit.resize(100);
        sleep(ms(100)).await;
        assert_eq!(watch.begun(), 100);
    };
    let (outs, ()) = tokio::join!(stream.try_collect(), growing);
    assert_eq!(outs.unwrap(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn handle_outlives_its_stream() {
    let mut stream = Probe::ok(10).stream(0..2, &Context::new());
    let limit = stream.limit_handle();
    assert_eq!((limit.items(), format!("{limit:?}").as_str()), (16, "LimitHandle { items: 16 }"));
    assert_eq!(stream.limit(3).collect().await.len(), 2);
    assert_eq!(limit.items(), 3, "later settings apply to the handle as well");
    limit.resize(9);
    assert_eq!(limit.clone().items(), 9);
}

#[tokio::test]
#[should_panic(expected = "with 0, nothing would ever run")]
async fn limit_of_zero_panics() {
    Probe::ok(1).stream(0..2, &Context::new()).limit_handle().resize(0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For any limit set at any time, every item has its outcome, and none starts above the current limit.
    #[test]
    fn no_item_starts_above_the_limit(
        first in 1_usize..8,
        changes in prop::collection::vec((1_u64..60, 1_usize..12), 0..8),
        is_ordered in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let watch = Watch::default();
            // When the limit changed, its former value, and its current value.
            let limits = Arc::new(Mutex::new((Instant::now(), first, first)));
            let (counted, current) = (watch.clone(), limits.clone());
            let step = llmspell::step(move |n: usize, _| {
                let before = counted.alive();
                let running = counted.enter();
                let (changed, former, limit) = *current.lock().unwrap();
                // An item pulled in the instant of the change may start under the former limit.
                let limit = if changed == Instant::now() { limit.max(former) } else { limit };
                async move {
                    assert!(before < limit, "{before} items were running, of at most {limit}");
                    sleep(ms(5 + (n as u64 * 7) % 20)).await;
                    running.complete();
                    Ok(n)
                }
            });
            let mut stream = step.stream(0..60, &Context::new()).limit(first);
            let limit = stream.limit_handle();
            let stream = if is_ordered { stream.ordered() } else { stream };
            let changing = async {
                for (after, items) in changes {
                    sleep(ms(after)).await;
                    *limits.lock().unwrap() = (Instant::now(), limit.items(), items);
                    limit.resize(items);
                }
            };
            let (outcomes, ()) = tokio::join!(stream.collect(), changing);
            assert!(outcomes.iter().all(|outcome| outcome.is_ok()), "{outcomes:?}");
            assert_eq!(outcomes.len(), 60);
        });
    }
}
