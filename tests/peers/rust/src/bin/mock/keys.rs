//! Keys: the wrong one, and where the right one went.

use std::collections::BTreeMap;

use llmspell::model::ModelErrorClass;
use llmspell::{ErrorKind, Result};
use llmspell_models::Wire;
use model_peers::ensure;

use super::{Mock, failure, journal};

pub(crate) async fn a_wrong_key_is_denied(mock: &Mock) -> Result<String> {
    let wrong = "sk-wrong-0123456789abcdef";
    let model = mock.models(Wire::OpenAi).key("mock", wrong).get("mock/some-model")?;
    let (error, cause) = failure(model, "hello").await?;
    ensure((cause.class, cause.status) == (ModelErrorClass::Unauthorized, Some(401)), || format!("{error:?}"))?;
    ensure(error.kind() == ErrorKind::Denied && !error.is_transient(), || format!("{error:?}"))?;
    ensure(!format!("{error:?} {cause:?}").contains(wrong), || "the error has the key in it".into())?;
    Ok("unauthorized, denied, not to be tried again".to_owned())
}

/// In one header, and nowhere else; looked at in all that was sent so far.
pub(crate) async fn the_key_is_where_it_belongs(mock: &Mock) -> Result<String> {
    let entries: Vec<_> = journal::all(mock).await?.into_iter().filter(|entry| entry["method"] == "POST").collect();
    ensure(!entries.is_empty(), || "the journal is empty".into())?;
    let mut places = BTreeMap::<String, usize>::new();
    for entry in &entries {
        ensure(!entry["path"].to_string().contains(&mock.key), || "in an address".into())?;
        ensure(!entry["body"].to_string().contains(&mock.key), || "in a body".into())?;
        for (name, value) in entry["headers"].as_object().into_iter().flatten() {
            if value.to_string().contains(&mock.key) {
                *places.entry(name.clone()).or_default() += 1;
            }
        }
    }
    let allowed = ["authorization", "x-api-key", "x-goog-api-key"];
    ensure(places.keys().all(|name| allowed.contains(&name.as_str())), || format!("{places:?}"))?;
    let total: usize = places.values().sum();
    ensure(total <= entries.len(), || format!("twice in a request: {places:?}"))?;
    let places: Vec<_> = places.iter().map(|(name, times)| format!("{name} {times}")).collect();
    let seen = if places.is_empty() { "nowhere: the journal hides it".to_owned() } else { places.join(", ") };
    Ok(format!("{} requests, the key in {seen}; in no address and no body", entries.len()))
}
