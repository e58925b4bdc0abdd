//! Keys: a wrong one, and the parts of a request that contain the right one.

use std::collections::BTreeMap;

use llmspell::model::ModelErrorClass;
use llmspell::{ErrorKind, Result};
use llmspell_models::Wire;
use model_peers::ensure;

use super::{Mock, failure, journal};

pub(crate) async fn wrong_key_is_denied(mock: &Mock) -> Result<String> {
    let wrong = "sk-wrong-0123456789abcdef";
    let model = mock.models(Wire::OpenAi).key("mock", wrong).get("mock/some-model")?;
    let (error, cause) = failure(model, "hello").await?;
    ensure((cause.class, cause.status) == (ModelErrorClass::Unauthorized, Some(401)), || format!("{error:?}"))?;
    ensure(error.kind() == ErrorKind::Denied && !error.is_transient(), || format!("{error:?}"))?;
    ensure(!format!("{error:?} {cause:?}").contains(wrong), || "the error contains the key".into())?;
    Ok("unauthorized, denied, not to be tried again".to_owned())
}

/// Checks in all requests so far that the key is in one header and nowhere else.
pub(crate) async fn key_is_only_in_its_header(mock: &Mock) -> Result<String> {
    let entries: Vec<_> = journal::all(mock).await?.into_iter().filter(|entry| entry["method"] == "POST").collect();
    ensure(!entries.is_empty(), || "the journal is empty".into())?;
    let mut headers = BTreeMap::<String, usize>::new();
    for entry in &entries {
        ensure(!entry["path"].to_string().contains(&mock.key), || "the key is in a URL".into())?;
        ensure(!entry["body"].to_string().contains(&mock.key), || "the key is in a body".into())?;
        for (name, value) in entry["headers"].as_object().into_iter().flatten() {
            if value.to_string().contains(&mock.key) {
                *headers.entry(name.clone()).or_default() += 1;
            }
        }
    }
    let allowed = ["authorization", "x-api-key", "x-goog-api-key"];
    ensure(headers.keys().all(|name| allowed.contains(&name.as_str())), || format!("{headers:?}"))?;
    let total: usize = headers.values().sum();
    ensure(total <= entries.len(), || format!("the key is twice in a request: {headers:?}"))?;
    let headers: Vec<_> = headers.iter().map(|(name, times)| format!("{name} {times}")).collect();
    let seen = if headers.is_empty() { "nowhere: the journal hides it".to_owned() } else { headers.join(", ") };
    Ok(format!("{} requests, the key in {seen}; in no address and no body", entries.len()))
}
