//! **Progress**: items in flight are polled while the consumer is busy.
//!
//! *Hazard*: "Barbara battles buffered streams". Futures that their consumer polls stand still while it does
//! something else. Calls then time out without their fault, and servers close connections.
//!
//! *Reports*: <https://rust-lang.github.io/wg-async/vision/submitted_stories/status_quo/barbara_battles_buffered_streams.html>,
//! <https://github.com/rust-lang/futures-rs/issues/2387>, <https://github.com/private-attribution/ipa/issues/867>; with a
//! task and a channel instead: <https://github.com/spiceai/spiceai/pull/11160>.
//!
//! *Common alternative*: `buffer_unordered` and a loop leave items unpolled while the consumer is busy, several
//! times over. So does a task that polls them and waits to send their results (`cargo run -p hazards -- busy`).
//!
//! *Here* (G1): while the consumer sleeps for 200 ms, no item waits more than 20 ms for its next poll, from the
//! moment it is pulled. This holds for any order of outcomes and inside any pattern. It also holds while the
//! consumer computes without an `await`, if the runtime has another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::pattern::stream::Streaming;
use llmspell::step::BoxStep;
use llmspell::{Context, Error, Hedge, Retry, Step, all, join, pipeline, race, step};
use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::baseline::{Heartbeat, at_most};
use crate::probe::{Probe, Watch, ms};

on_both_runtimes!(
    no_item_waits_while_the_consumer_sleeps,
    no_part_of_an_item_waits_while_the_consumer_sleeps,
    no_item_of_a_nested_stream_waits,
    no_item_waits_while_the_consumer_computes,
);

const BOUND: Duration = ms(20);

/// The time that the consumer is busy with each outcome.
const BUSY: Duration = ms(200);

/// The duration of an undisturbed item: longer than the consumer is busy.
const WORK: Duration = ms(300);

fn heartbeats() -> Vec<Heartbeat> {
    std::iter::repeat_with(Heartbeat::default).take(64).collect()
}

fn longest_gap(heartbeats: &[Heartbeat]) -> Duration {
    heartbeats.iter().map(Heartbeat::longest_gap).max().unwrap_or_default()
}

/// Returns a step that records heartbeats for its item.
fn beating(heartbeats: &[Heartbeat], work: Duration) -> BoxStep<usize, usize> {
    let heartbeats = heartbeats.to_vec();
    let beat = move |n: usize, _| {
        let heartbeat = heartbeats[n].clone();
        async move {
            heartbeat.beat_for(work).await;
            Ok(n)
        }
    };
    step(beat).boxed()
}

/// Returns the inputs. The first heartbeat of each is when it is pulled.
fn inputs(heartbeats: &[Heartbeat]) -> impl Iterator<Item = usize> + Send + use<> {
    let heartbeats = heartbeats.to_vec();
    (0..heartbeats.len()).inspect(move |n| heartbeats[*n].tick())
}

/// Makes a step that records heartbeats for its item.
type MakeStep = fn(&[Heartbeat]) -> BoxStep<usize, usize>;

type Shape = fn(Streaming<BoxStep<usize, usize>>) -> Streaming<BoxStep<usize, usize>>;

const SHAPES: [(&str, Shape); 3] = [
    ("as they finish", |stream| stream.limit(4)),
    ("ordered", |stream| stream.limit(4).ordered()),
    ("ordered with a window", |stream| stream.limit(4).window(4)),
];

async fn gap(shape: Shape, make: MakeStep) -> Duration {
    let heartbeats = heartbeats();
    let mut stream = shape(make(&heartbeats).stream(inputs(&heartbeats), &Context::new()));
    for _ in 0..4 {
        stream.next().await.unwrap();
        sleep(BUSY).await;
    }
    longest_gap(&heartbeats)
}

async fn no_item_waits_while_the_consumer_sleeps() {
    let mut cases = JoinSet::new();
    for (name, shape) in SHAPES {
        cases.spawn(at_most(BOUND, name, move || gap(shape, |heartbeats| beating(heartbeats, WORK))));
    }
    cases.join_all().await;
}

async fn no_part_of_an_item_waits_while_the_consumer_sleeps() {
    let steps: [(&str, MakeStep); 6] = [
        ("pipeline", |heartbeats| {
            let stage = || beating(heartbeats, ms(100));
            pipeline("three").stage("a", stage()).stage("b", stage()).stage("c", stage()).boxed()
        }),
        ("join", |heartbeats| join((beating(heartbeats, WORK), Probe::ok(300))).map(|(n, _)| n).boxed()),
        ("all", |heartbeats| all([beating(heartbeats, WORK)]).map(|outs| outs[0]).boxed()),
        ("race", |heartbeats| race((beating(heartbeats, WORK), Probe::ok(400))).boxed()),
        ("hedge", |heartbeats| beating(heartbeats, WORK).idempotent().hedge(Hedge::after(ms(500))).boxed()),
        ("timeout", |heartbeats| {
            beating(heartbeats, WORK).limit(4).timeout(ms(5000)).retry(Retry::exponential()).spawned().boxed()
        }),
    ];
    let mut cases = JoinSet::new();
    for (name, make) in steps {
        cases.spawn(at_most(BOUND, name, move || gap(SHAPES[1].1, make)));
    }
    cases.join_all().await;
}

/// The items of the inner stream continue although its consumer, the outer stream, pulls nothing.
async fn no_item_of_a_nested_stream_waits() {
    at_most(BOUND, "a stream of a stream", || async {
        let (inner, outer, cx) = (heartbeats(), heartbeats(), Context::new());
        let first = beating(&inner, WORK).stream(inputs(&inner), &cx).limit(4).ordered();
        let second = beating(&outer, WORK);
        let second = step(move |outcome: llmspell::Outcome<usize>, cx: Context| {
            let second = second.clone();
            async move { second.run(outcome.result?, &cx).await }
        });
        let mut stream = second.stream(first, &cx).limit(4).ordered();
        for _ in 0..4 {
            stream.next().await.unwrap();
            sleep(BUSY).await;
        }
        longest_gap(&inner).max(longest_gap(&outer))
    })
    .await;
}

/// Only on runtimes with another thread.
async fn no_item_waits_while_the_consumer_computes() {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return;
    }
    at_most(BOUND, "items", || async {
        let heartbeats = heartbeats();
        let mut stream = beating(&heartbeats, WORK).stream(inputs(&heartbeats), &Context::new()).limit(4);
        for _ in 0..4 {
            stream.next().await.unwrap();
            #[expect(clippy::disallowed_methods, reason = "stands for a computation")]
            std::thread::sleep(BUSY);
        }
        longest_gap(&heartbeats)
    })
    .await;
}

/// The same on a paused clock: everything in flight is done when the consumer polls again, and nothing more has
/// started.
#[tokio::test(start_paused = true)]
async fn items_progress_while_the_consumer_is_busy() {
    let watch = Watch::default();
    let mut stream = Probe::ok(50).watched(&watch).stream(0..8, &Context::new()).limit(4);
    stream.next().await.unwrap();
    sleep(ms(200)).await;
    assert_eq!(watch.completed(), 4, "the consumer has one outcome, and all four items in flight are done");
    assert_eq!(watch.begun(), 4, "no further item started without the consumer");
}

/// Pairs of items: each blocks its thread until the other has started. Neither may be queued behind the other.
#[test]
fn blocking_items_run_concurrently() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let pairs = async {
        let started_items = Arc::new(AtomicUsize::new(0));
        let wait_for_partner = step(move |n: usize, _| {
            let started_items = started_items.clone();
            async move {
                started_items.fetch_add(1, Ordering::SeqCst);
                let started = Instant::now();
                // Pairs are 0 and 1, 2 and 3, …: the second of a pair releases both.
                while started_items.load(Ordering::SeqCst) < (n / 2 + 1) * 2 {
                    std::thread::yield_now();
                    if started.elapsed() > ms(5000) {
                        return Err(Error::failed("the partner never started"));
                    }
                }
                Ok(n)
            }
        });
        wait_for_partner.stream(0..40, &Context::new()).limit(2).ordered().try_collect().await
    };
    assert!(runtime.block_on(pairs).is_ok());
}
