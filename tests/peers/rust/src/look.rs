//! The state of servers, read on a connection that the models under test do not use.

use std::time::Duration;

use tokio::time::Instant;

use llmspell::{Error, Result};
use serde_json::Value;

/// Returns the JSON at this address of a server.
async fn json(url: &str) -> Result<Value> {
    Ok(serde_json::from_str(&reqwest::get(url).await?.error_for_status()?.text().await?)?)
}

/// Whether no slot of a server of llama.cpp works on anything.
///
/// # Errors
/// It does not say.
pub async fn idle(url: &str) -> Result<bool> {
    let slots = json(&format!("{url}/slots")).await?;
    let slots = slots.as_array().ok_or_else(|| Error::failed("/slots is no list"))?;
    Ok(slots.iter().all(|slot| slot["is_processing"] == false))
}

/// The last piece of work of each slot, by its number.
///
/// # Errors
/// It does not say.
pub async fn last_work(url: &str) -> Result<Vec<Option<i64>>> {
    let slots = json(&format!("{url}/slots")).await?;
    Ok(slots.as_array().into_iter().flatten().map(|slot| slot["id_task"].as_i64()).collect())
}

/// How long it takes until all slots are idle.
///
/// # Errors
/// Longer than `most`.
pub async fn when_idle(url: &str, most: Duration) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let is_idle = idle(url).await?;
        let after = begun.elapsed();
        match (is_idle, after > most) {
            (true, false) => return Ok(after),
            (_, true) => return Err(Error::failed(format!("a slot of {url} still works after {after:.2?}"))),
            (false, false) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
