//! Probes of the slots of llama.cpp servers, over connections apart from those of the models under test.

use std::time::Duration;

use tokio::time::Instant;

use llmspell::{Error, Result};
use serde_json::Value;

/// Returns the JSON at a URL.
async fn json(url: &str) -> Result<Value> {
    Ok(serde_json::from_str(&reqwest::get(url).await?.error_for_status()?.text().await?)?)
}

/// Returns whether all slots of a llama.cpp server are idle.
///
/// # Errors
/// If the server does not report its slots.
pub async fn idle(url: &str) -> Result<bool> {
    let slots = json(&format!("{url}/slots")).await?;
    let slots = slots.as_array().ok_or_else(|| Error::failed("expected a list at /slots, found another value"))?;
    Ok(slots.iter().all(|slot| slot["is_processing"] == false))
}

/// Returns the number of each slot's last task.
///
/// # Errors
/// If the server does not report its slots.
pub async fn last_task(url: &str) -> Result<Vec<Option<i64>>> {
    let slots = json(&format!("{url}/slots")).await?;
    Ok(slots.as_array().into_iter().flatten().map(|slot| slot["id_task"].as_i64()).collect())
}

/// Waits until all slots are idle, and returns how long that took.
///
/// # Errors
/// If it takes longer than `limit`.
pub async fn when_idle(url: &str, limit: Duration) -> Result<Duration> {
    let started = Instant::now();
    loop {
        let is_idle = idle(url).await?;
        let after = started.elapsed();
        match (is_idle, after > limit) {
            (true, false) => return Ok(after),
            (_, true) => return Err(Error::failed(format!("a slot of {url} is still busy after {after:.2?}"))),
            (false, false) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
