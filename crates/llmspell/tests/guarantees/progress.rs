//! **Progress**: what is in flight keeps being polled while the consumer is busy.
//!
//! *Hazard*: "Barbara battles buffered streams". Futures that their consumer polls stand still while it does something
//! else, so calls time out for no fault of their own, and connections are closed by the other side.
//!
//! *Reports*: <https://rust-lang.github.io/wg-async/vision/submitted_stories/status_quo/barbara_battles_buffered_streams.html>,
//! <https://github.com/rust-lang/futures-rs/issues/2387>, <https://github.com/private-attribution/ipa/issues/867>; with a
//! task and a channel instead: <https://github.com/spiceai/spiceai/pull/11160>.
//!
//! *Common alternative*: `buffer_unordered` and a loop leave items unpolled for as long as the consumer is busy, several
//! times over; so does a task that drives them and waits to send what they give (`cargo run -p hazards -- busy`).
//!
//! *Here* (G1): while the consumer sleeps for 200 ms, no item waits more than 20 ms for its turn, from the moment it is
//! pulled; whatever the order of the outcomes and the pattern inside. The same while it computes without an `await`, if the
//! runtime has another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::{BoxStep, Context, Error, Hedge, Retry, Step, Streaming, all, join, pipeline, race, step};
use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::control::{Heart, at_most};
use crate::probe::{Probe, Watch, ms};

on_both_runtimes!(
    no_item_waits_while_the_consumer_sleeps,
    no_part_of_an_item_waits_while_the_consumer_sleeps,
    no_item_of_a_stream_that_feeds_another_waits,
    no_item_waits_while_the_consumer_computes,
);

const BOUND: Duration = ms(20);

/// How long the consumer is busy with each outcome.
const BUSY: Duration = ms(200);

/// How long an item takes that is left alone: longer than the consumer is busy.
const WORK: Duration = ms(300);

fn hearts() -> Vec<Heart> {
    std::iter::repeat_with(Heart::default).take(64).collect()
}

fn longest_gap(hearts: &[Heart]) -> Duration {
    hearts.iter().map(Heart::longest_gap).max().unwrap_or_default()
}

/// A step that beats in the heart of its item.
fn beating(hearts: &[Heart], work: Duration) -> BoxStep<usize, usize> {
    let hearts = hearts.to_vec();
    let beat = move |n: usize, _| {
        let heart = hearts[n].clone();
        async move {
            heart.beat_for(work).await;
            Ok(n)
        }
    };
    step(beat).boxed()
}

/// The inputs; the heart of each beats first when it is pulled.
fn inputs(hearts: &[Heart]) -> impl Iterator<Item = usize> + Send + use<> {
    let hearts = hearts.to_vec();
    (0..hearts.len()).inspect(move |n| hearts[*n].tick())
}

/// Makes a step that beats in the heart of its item.
type Make = fn(&[Heart]) -> BoxStep<usize, usize>;

type Shape = fn(Streaming<BoxStep<usize, usize>>) -> Streaming<BoxStep<usize, usize>>;

const SHAPES: [(&str, Shape); 3] = [
    ("as they finish", |stream| stream.limit(4)),
    ("ordered", |stream| stream.limit(4).ordered()),
    ("ordered with a window", |stream| stream.limit(4).window(4)),
];

async fn gap(shape: Shape, make: Make) -> Duration {
    let hearts = hearts();
    let mut stream = shape(make(&hearts).stream(inputs(&hearts), &Context::new()));
    for _ in 0..4 {
        stream.next().await.unwrap();
        sleep(BUSY).await;
    }
    longest_gap(&hearts)
}

async fn no_item_waits_while_the_consumer_sleeps() {
    let mut cases = JoinSet::new();
    for (name, shape) in SHAPES {
        cases.spawn(at_most(BOUND, name, move || gap(shape, |hearts| beating(hearts, WORK))));
    }
    cases.join_all().await;
}

async fn no_part_of_an_item_waits_while_the_consumer_sleeps() {
    let makes: [(&str, Make); 6] = [
        ("pipeline", |hearts| {
            let stage = || beating(hearts, ms(100));
            pipeline("three").stage("a", stage()).stage("b", stage()).stage("c", stage()).boxed()
        }),
        ("join", |hearts| join((beating(hearts, WORK), Probe::ok(300))).map(|(n, _)| n).boxed()),
        ("all", |hearts| all([beating(hearts, WORK)]).map(|outs| outs[0]).boxed()),
        ("race", |hearts| race((beating(hearts, WORK), Probe::ok(400))).boxed()),
        ("hedge", |hearts| beating(hearts, WORK).idempotent().hedge(Hedge::after(ms(500))).boxed()),
        ("timeout", |hearts| {
            beating(hearts, WORK).limit(4).timeout(ms(5000)).retry(Retry::exponential()).spawned().boxed()
        }),
    ];
    let mut cases = JoinSet::new();
    for (name, make) in makes {
        cases.spawn(at_most(BOUND, name, move || gap(SHAPES[1].1, make)));
    }
    cases.join_all().await;
}

/// The items in flight of the inner stream go on although its consumer, the outer one, pulls nothing.
async fn no_item_of_a_stream_that_feeds_another_waits() {
    at_most(BOUND, "a stream of a stream", || async {
        let (inner, outer, cx) = (hearts(), hearts(), Context::new());
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

/// Only where there is another thread to go on with them.
async fn no_item_waits_while_the_consumer_computes() {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return;
    }
    at_most(BOUND, "items", || async {
        let hearts = hearts();
        let mut stream = beating(&hearts, WORK).stream(inputs(&hearts), &Context::new()).limit(4);
        for _ in 0..4 {
            stream.next().await.unwrap();
            #[expect(clippy::disallowed_methods, reason = "this is what computing looks like from outside")]
            std::thread::sleep(BUSY);
        }
        longest_gap(&hearts)
    })
    .await;
}

/// The same without a clock that could be late: everything in flight is done by the time the consumer asks again, and no
/// more is begun without it.
#[tokio::test(start_paused = true)]
async fn items_make_progress_while_the_consumer_is_busy() {
    let watch = Watch::default();
    let mut stream = Probe::ok(50).watched(&watch).stream(0..8, &Context::new()).limit(4);
    stream.next().await.unwrap();
    sleep(ms(200)).await;
    assert_eq!(watch.completed(), 4, "the consumer has seen one, all four in flight are done");
    assert_eq!(watch.begun(), 4, "and no more were begun without it");
}

/// Items that meet: each blocks its thread until the other has come. Neither may be stuck behind the other.
#[test]
fn items_that_block_their_threads_run_at_the_same_time() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let meeting = async {
        let there = Arc::new(AtomicUsize::new(0));
        let meet = step(move |n: usize, _| {
            let there = there.clone();
            async move {
                there.fetch_add(1, Ordering::SeqCst);
                let started = Instant::now();
                // Pairs 0 and 1, 2 and 3, …: the second of each pair lets both go.
                while there.load(Ordering::SeqCst) < (n / 2 + 1) * 2 {
                    std::thread::yield_now();
                    if started.elapsed() > ms(5000) {
                        return Err(Error::failed("nobody came"));
                    }
                }
                Ok(n)
            }
        });
        meet.stream(0..40, &Context::new()).limit(2).ordered().try_collect().await
    };
    assert!(runtime.block_on(meeting).is_ok());
}
