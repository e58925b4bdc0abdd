//! A function over many inputs, with a limit on those in flight.

use futures_util::StreamExt;
use futures_util::stream;
use peers::MAP_LIMIT;
use serde_json::{Value, json};
use tokio::task::JoinSet;

pub(crate) async fn ready(n: u64) -> u64 {
    n + 1
}

pub(crate) async fn yielding(n: u64) -> u64 {
    tokio::task::yield_now().await;
    n + 1
}

pub(crate) async fn join_set<F>(items: u64, one_more: fn(u64) -> F) -> Value
where
    F: Future<Output = u64> + Send + 'static,
{
    let (mut tasks, mut inputs, mut sum) = (JoinSet::new(), 0..items, 0);
    loop {
        while tasks.len() < MAP_LIMIT
            && let Some(input) = inputs.next()
        {
            tasks.spawn(one_more(input));
        }
        match tasks.join_next().await {
            Some(output) => sum += output.expect("no panic"),
            None => break,
        }
    }
    assert_eq!(sum, items * (items + 1) / 2);
    json!({})
}

pub(crate) async fn buffered<F: Future<Output = u64>>(items: u64, one_more: fn(u64) -> F) -> Value {
    let (mut outputs, mut sum) = (stream::iter(0..items).map(one_more).buffer_unordered(MAP_LIMIT), 0);
    while let Some(output) = outputs.next().await {
        sum += output;
    }
    assert_eq!(sum, items * (items + 1) / 2);
    json!({})
}
