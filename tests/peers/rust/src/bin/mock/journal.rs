//! The journal of the mock server: the requests that it received.

use llmspell::{Error, Result};
use serde_json::Value;

use super::Mock;

/// Returns all requests so far, oldest first.
pub(crate) async fn all(mock: &Mock) -> Result<Vec<Value>> {
    let request = reqwest::Client::new().get(format!("{}/__aimock/journal", mock.url)).bearer_auth(&mock.key);
    let text = request.send().await?.error_for_status()?.text().await?;
    match serde_json::from_str(&text)? {
        Value::Array(entries) => Ok(entries),
        other => Err(Error::failed(format!("expected a list as the journal, found {other}"))),
    }
}

/// Returns the requests that contain this question.
pub(crate) async fn requests(mock: &Mock, question: &str) -> Result<Vec<Value>> {
    let matches = |entry: &Value| entry["body"]["messages"].to_string().contains(question);
    Ok(all(mock).await?.into_iter().filter(matches).collect())
}

/// Returns the times of the requests in milliseconds.
pub(crate) fn times(entries: &[Value]) -> Vec<u64> {
    entries.iter().filter_map(|entry| entry["timestamp"].as_u64()).collect()
}
