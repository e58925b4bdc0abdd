//! The tasks of `bench/peers` by hand: `peers-tokio join-set|buffered TASK [one-thread]` prints its measurements.
//!
//! `join-set` spawns a task for each item, as in tokio's documentation. `buffered` runs the items in the task of the
//! consumer, as in the documentation of futures.

#![expect(clippy::disallowed_methods, reason = "hand-written code spawns and blocks directly")]

mod first_error;
mod map;
mod pipeline;
mod slow_consumer;
mod timeout;

use peers::stages;
use serde_json::Value;
use tokio::runtime::Builder;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The runtime of `#[tokio::main]`, unless one thread was requested.
    let mut builder = match arguments.get(2) {
        Some(&"one-thread") => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build().expect("a runtime");
    println!("{}", runtime.block_on(run(&arguments)));
}

async fn run(arguments: &[&str]) -> Value {
    match arguments {
        ["join-set", "start", ..] => map::join_set(1, map::ready).await,
        ["join-set", "map", ..] => map::join_set(peers::MAP_ITEMS, map::ready).await,
        ["join-set", "map-yield", ..] => map::join_set(peers::MAP_ITEMS, map::yielding).await,
        ["join-set", "pipeline", ..] => pipeline::join_set(stages::fixed()).await,
        ["join-set", "pipeline-scattered", ..] => pipeline::join_set(stages::scattered()).await,
        ["join-set", "timeout", ..] => timeout::run().await,
        ["join-set", "slow-consumer", ..] => slow_consumer::join_set().await,
        ["join-set", "first-error", ..] => first_error::join_set().await,
        ["buffered", "map", ..] => map::buffered(peers::MAP_ITEMS, map::ready).await,
        ["buffered", "map-yield", ..] => map::buffered(peers::MAP_ITEMS, map::yielding).await,
        ["buffered", "pipeline", ..] => pipeline::buffered(stages::fixed()).await,
        ["buffered", "pipeline-scattered", ..] => pipeline::buffered(stages::scattered()).await,
        ["buffered", "slow-consumer", ..] => slow_consumer::buffered().await,
        ["buffered", "first-error", ..] => first_error::buffered().await,
        other => panic!("unknown task: {other:?}"),
    }
}
