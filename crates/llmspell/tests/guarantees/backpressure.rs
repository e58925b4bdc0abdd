//! **Backpressure**: pulled minus delivered never exceeds the limit plus the reorder window, which is 0 by
//! default. Between the stages of a pipeline there are only records in flight.
//!
//! *Hazard*: a source faster than its consumer fills the memory, if not with work then with finished results.
//!
//! *Reports*: <https://github.com/bitcoin-dev-project/sim-ln/pull/221>,
//! <https://github.com/hickory-dns/hickory-dns/pull/1818>, <https://github.com/langchain-ai/langgraph/issues/7094>;
//! stages that share a limit: <https://github.com/MystenLabs/sui/pull/26728>.
//!
//! *Common alternative*: a `JoinSet` into which everything is spawned keeps every output until it is joined
//! (`cargo run -p hazards -- run_ahead`).
//!
//! *Here* (G10, and H14 for stages that share a limit): in flight plus finished plus waiting is at most limit
//! plus window at any time. Memory for a million items equals that for ten thousand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::pattern::stream::Streaming;
use llmspell::step::BoxStep;
use llmspell::{Context, Limit, Outcome, Step, pipeline, step};
use tokio::time::{sleep, timeout};

use crate::probe::{Probe, Watch, ms};

on_both_runtimes!(
    source_is_never_pulled_beyond_limit_plus_window,
    chained_streams_are_bounded_by_the_sum_of_limits,
    records_between_stages_are_records_in_flight,
    stage_releases_its_permit_before_the_next_stage,
    inputs_items_and_outcomes_are_bounded_together,
    unread_output_blocks_the_work,
);

/// Returns `count` inputs, and the number pulled so far.
fn inputs(count: usize) -> (impl Iterator<Item = usize> + Send, Arc<AtomicUsize>) {
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = pulled.clone();
    let source = (0..count).inspect(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    (source, pulled)
}

type Shape = fn(Streaming<BoxStep<usize, usize>>) -> Streaming<BoxStep<usize, usize>>;

/// Each with the maximum of running and of pulled items.
const SHAPES: [(Shape, usize, usize); 5] = [
    (|stream| stream.limit(5), 5, 5),
    (|stream| stream.limit(5).ordered(), 5, 5),
    (|stream| stream.limit(5).window(7), 5, 12),
    (|stream| stream.limit(1), 1, 1),
    (|stream| stream, 16, 16),
];

async fn source_is_never_pulled_beyond_limit_plus_window() {
    for (shape, limit, bound) in SHAPES {
        let (source, pulled) = inputs(100);
        let watch = Watch::default();
        let seen = watch.clone();
        // Some are slow, so that others overtake them.
        let uneven = step(move |n: usize, _| {
            let alive = seen.enter();
            async move {
                let _alive = alive;
                sleep(ms(if n.is_multiple_of(9) { 10 } else { 1 })).await;
                Ok(n)
            }
        });
        let mut stream = shape(uneven.boxed().stream(source, &Context::new()));
        let mut delivered = 0;
        while stream.next().await.is_some() {
            assert!(pulled.load(Ordering::SeqCst) - delivered <= bound);
            if delivered % 7 == 0 {
                sleep(ms(12)).await;
            }
            delivered += 1;
            assert!(pulled.load(Ordering::SeqCst) - delivered <= bound);
            assert_eq!((stream.pulled(), stream.delivered()), (pulled.load(Ordering::SeqCst), delivered));
        }
        assert_eq!(delivered, 100);
        assert!(watch.most_at_once() <= limit, "{} at once", watch.most_at_once());
    }
}

/// Chained buffers add up, but none of them may run ahead by itself.
async fn chained_streams_are_bounded_by_the_sum_of_limits() {
    let (source, pulled) = inputs(60);
    let cx = Context::new();
    let first = Probe::ok(1).stream(source, &cx).limit(3).ordered();
    let second = step(|outcome: Outcome<usize>, _| async move {
        sleep(ms(1)).await;
        outcome.result
    });
    let mut stream = second.stream(first, &cx).limit(4).ordered();
    let mut delivered = 0;
    while let Some(outcome) = stream.next().await {
        assert_eq!(outcome.result.unwrap(), delivered);
        assert!(pulled.load(Ordering::SeqCst) - delivered <= 3 + 4);
        sleep(ms(5)).await;
        delivered += 1;
        assert!(pulled.load(Ordering::SeqCst) - delivered <= 3 + 4);
    }
    assert_eq!(delivered, 60);
}

/// A fast stage before a slow one: only records in flight wait between them.
async fn records_between_stages_are_records_in_flight() {
    let (fast, slow) = (Watch::default(), Watch::default());
    let flow = pipeline("funnel")
        .stage("fast", Probe::ok(0).watched(&fast))
        .stage("slow", Probe::ok(2).watched(&slow))
        .limit(1);
    let mut stream = flow.stream(0..200, &Context::new()).limit(6);
    while stream.next().await.is_some() {
        let between = fast.completed() - slow.completed();
        assert!(between <= 6, "{between} records wait between the stages");
    }
    assert_eq!((slow.most_at_once(), slow.completed()), (1, 200));
}

/// Otherwise stages that share a limit would deadlock.
async fn stage_releases_its_permit_before_the_next_stage() {
    let (watch, one) = (Watch::default(), Limit::new(1));
    let stage = || Probe::ok(1).watched(&watch);
    let flow = pipeline("shared").stage("a", stage()).limit(one.clone()).stage("b", stage()).limit(one.clone());
    let outs = flow.stream(0..50, &Context::new()).ordered().try_collect().await.unwrap();
    assert_eq!(outs, (0..50).collect::<Vec<_>>());
    assert_eq!((watch.most_at_once(), watch.completed(), one.available()), (1, 100, Some(1)));
}

/// Inputs, items and outcomes together, each counted while it exists.
async fn inputs_items_and_outcomes_are_bounded_together() {
    const ITEMS: usize = 100_000;
    let watch = Watch::default();
    let counted = watch.clone();
    let source = (0..ITEMS).map(move |n| (n, counted.enter()));
    let work = step(|(n, alive): (usize, crate::probe::Alive), _| async move {
        if n.is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
        Ok((n, alive))
    });
    let mut stream = work.stream(source, &Context::new()).limit(48).window(16);
    let mut delivered = 0;
    while let Some(outcome) = stream.next().await {
        let (n, alive) = outcome.result.unwrap();
        assert_eq!(n, delivered);
        alive.complete();
        delivered += 1;
    }
    assert_eq!((delivered, watch.completed()), (ITEMS, ITEMS));
    assert!(watch.most_at_once() <= 48 + 16 + 1, "{} at once", watch.most_at_once());
}

/// Returns the peak of allocated bytes while a stream runs. Only this thread is counted, so the runtime has one
/// thread.
fn most_bytes(items: usize) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = step(|n: usize, _| async move {
        if n.is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
        Ok(vec![n; 100])
    });
    let run = async {
        let mut stream = work.stream(0..items, &Context::new()).limit(64).window(16);
        while stream.next().await.is_some() {}
    };
    allocation_counter::measure(|| runtime.block_on(run)).bytes_max
}

#[test]
fn memory_is_flat_over_a_million_items() {
    let (few, many) = (most_bytes(10_000), most_bytes(1_000_000));
    assert!(many <= few + few / 10, "{few} bytes for ten thousand items, {many} for a million");
}

async fn unread_output_blocks_the_work() {
    let (cx, mut chunks) = Context::new().with_chunks(4);
    let shown = Arc::new(AtomicUsize::new(0));
    let counter = shown.clone();
    let talker = step(move |(), cx: Context| {
        let counter = counter.clone();
        async move {
            for n in 0..100 {
                cx.emit(n).await?;
                counter.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        }
    });
    {
        let mut run = Box::pin(talker.run((), &cx));
        assert!(timeout(ms(20), &mut run).await.is_err(), "the work waits for its reader");
        assert_eq!(shown.load(Ordering::SeqCst), 4);
        let read = async {
            for _ in 0..100 {
                chunks.next().await.unwrap();
            }
        };
        let (result, ()) = tokio::join!(run, read);
        result.unwrap();
    }
    assert_eq!(shown.load(Ordering::SeqCst), 100);
}
