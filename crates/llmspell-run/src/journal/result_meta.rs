//! What a step gave, as it is written down.

use llmspell::{Error, Provenance, Quality};
use serde::{Deserialize, Serialize};

/// All but the output of a [result](llmspell_flow::internal::Kept). What is as usual is left out, and if everything is, nothing is written at all.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ResultMeta {
    #[serde(skip_serializing_if = "is_full")]
    pub(crate) quality: Quality,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<Error>,
    #[serde(skip_serializing_if = "is_plain")]
    pub(crate) provenance: Provenance,
}

fn is_full(quality: &Quality) -> bool {
    *quality == Quality::Full
}

fn is_plain(provenance: &Provenance) -> bool {
    *provenance == Provenance::default()
}

impl ResultMeta {
    /// Its JSON; `None` if there is nothing to tell.
    pub(crate) fn to_json(&self) -> Option<String> {
        let is_plain = is_full(&self.quality) && self.causes.is_empty() && is_plain(&self.provenance);
        // Maps have text for keys and numbers are finite, so there is always JSON.
        (!is_plain).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    pub(crate) fn from_json(text: Option<&str>) -> serde_json::Result<Self> {
        text.map_or_else(|| Ok(ResultMeta::default()), serde_json::from_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_story_takes_no_room() {
        assert_eq!(ResultMeta::default().to_json(), None);
        let meta =
            ResultMeta { quality: Quality::Fallback, causes: vec![Error::failed("no")], ..ResultMeta::default() };
        let text = meta.to_json().unwrap();
        assert_eq!(text, r#"{"quality":"fallback","causes":[{"kind":"failed","message":"no"}]}"#);
        let read = ResultMeta::from_json(Some(&text)).unwrap();
        assert_eq!((read.quality, read.causes.len()), (Quality::Fallback, 1));
    }
}
