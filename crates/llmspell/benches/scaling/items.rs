//! The cost and the memory of an item by the number of items.

use std::sync::Arc;
use std::time::Duration;

use llmspell::{Context, Step, step};
use tokio::sync::Barrier;
use tokio::time::{Instant, sleep_until};

use crate::measure::Flavour;
use crate::work::{drain, join_set, ready};

const FLAVOUR: Flavour = Flavour::CurrentThread;

/// Fewer than elsewhere, because each takes long.
const SAMPLES: usize = 3;

/// The fewest items of a sample.
const MIN_ITEMS: u32 = 100_000;

pub fn run() {
    println!(
        "\n### scaling\n\nCPU time of an item of `stream`, medians of {SAMPLES}, and the most memory allocated at once.\n"
    );
    println!("| work | items | in flight | llmspell, ns | by hand, ns | ratio | peak, MiB |");
    println!("|---|---|---|---|---|---|---|");
    for items in [1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
        row(
            ("ready at once", items, 64),
            // A few items many times, so that the clock can measure them.
            async |operations| {
                for _ in 0..operations / items {
                    drain(step(|x, _| ready(x)).stream(0..u64::from(items), &Context::new()).limit(64)).await;
                }
            },
            async |operations| {
                for _ in 0..operations / items {
                    join_set(items, 64, ready).await;
                }
            },
        );
    }
    for in_flight in [1, 100, 10_000, 1_000_000] {
        // No item continues before all of them are in flight.
        let gate = Arc::new(Barrier::new(in_flight));
        let wait_for_all = move |_: u64| {
            let gate = gate.clone();
            async move {
                gate.wait().await;
                Ok(())
            }
        };
        row(
            ("all places taken", MIN_ITEMS.max(in_flight as u32), in_flight),
            async |items| {
                let wait_for_all = wait_for_all.clone();
                drain(step(move |x, _| wait_for_all(x)).stream(0..u64::from(items), &Context::new()).limit(in_flight))
                    .await;
            },
            async |items| join_set(items, in_flight, &wait_for_all).await,
        );
    }
    for timers in [20_000, 40_000, 80_000, 160_000] {
        let asleep = |items: u32| {
            // All items are asleep before the first wakes.
            let end = Instant::now() + Duration::from_millis(100) + Duration::from_micros(4) * items;
            move |_: u64| async move {
                sleep_until(end).await;
                Ok(())
            }
        };
        let in_flight = timers as usize;
        row(
            ("timers that end together", timers, in_flight),
            async |items| {
                let work = asleep(items);
                drain(step(move |x, _| work(x)).stream(0..u64::from(items), &Context::new()).limit(in_flight)).await;
            },
            async |items| join_set(items, in_flight, asleep(items)).await,
        );
    }
}

fn row((what, items, in_flight): (&str, u32, usize), ours: impl AsyncFn(u32), theirs: impl AsyncFn(u32)) {
    // Timers run once; the others are repeated.
    let operations = if in_flight == items as usize { items } else { items.max(MIN_ITEMS) };
    let runtime = FLAVOUR.runtime();
    let peak = allocation_counter::measure(|| runtime.block_on(ours(operations))).bytes_max;
    let (ours, theirs) = FLAVOUR.costs(operations, SAMPLES, ours, theirs);
    let peak = peak as f64 / f64::from(1 << 20);
    println!("| {what} | {items} | {in_flight} | {ours:.0} | {theirs:.0} | {:.2} | {peak:.2} |", ours / theirs);
}
