//! The requests that the server has received, as it reports them.

use llmspell::{Error, Result};
use serde_json::Value;

use super::Mock;

/// Everything so far, oldest first.
pub(crate) async fn all(mock: &Mock) -> Result<Vec<Value>> {
    let request = reqwest::Client::new().get(format!("{}/__aimock/journal", mock.url)).bearer_auth(&mock.key);
    let text = request.send().await?.error_for_status()?.text().await?;
    match serde_json::from_str(&text)? {
        Value::Array(entries) => Ok(entries),
        other => Err(Error::failed(format!("the journal is no list: {other}"))),
    }
}

/// The requests that end with these words of the user.
pub(crate) async fn info(mock: &Mock, question: &str) -> Result<Vec<Value>> {
    let asks = |entry: &Value| entry["body"]["messages"].to_string().contains(question);
    Ok(all(mock).await?.into_iter().filter(asks).collect())
}

/// The times at which they came in, in milliseconds.
pub(crate) fn times(entries: &[Value]) -> Vec<u64> {
    entries.iter().filter_map(|entry| entry["timestamp"].as_u64()).collect()
}
