//! The tasks of `bench/peers` in LLMSpell: `peers-llmspell TASK [one-thread]` prints its measurements.

mod first_error;
mod map;
mod pipeline;
mod slow_consumer;
mod timeout;

use peers::stages;
use serde_json::Value;
use tokio::runtime::Builder;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next().unwrap_or_default();
    // The runtime of `#[tokio::main]`, unless one thread was requested.
    let mut builder = match arguments.next().as_deref() {
        Some("one-thread") => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build().expect("a runtime");
    let output = runtime.block_on(run(&task)).expect("no task fails");
    println!("{output}");
}

async fn run(task: &str) -> llmspell::Result<Value> {
    match task {
        "start" => map::run(1, map::ready()).await,
        "map" => map::run(peers::MAP_ITEMS, map::ready()).await,
        "map-yield" => map::run(peers::MAP_ITEMS, map::yielding()).await,
        "pipeline" => pipeline::run(stages::fixed(), 0).await,
        "pipeline-scattered" => pipeline::run(stages::scattered(), 0).await,
        "pipeline-scattered-window" => pipeline::run(stages::scattered(), 10).await,
        "timeout" => timeout::run().await,
        "slow-consumer" => slow_consumer::run().await,
        "first-error" => first_error::run().await,
        task => Err(llmspell::Error::invalid(format!("unknown task {task:?}"))),
    }
}
