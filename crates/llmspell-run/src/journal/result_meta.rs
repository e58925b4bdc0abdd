//! The metadata of a result as it is stored.

use llmspell::Error;
use llmspell::observe::{Provenance, Quality};
use serde::{Deserialize, Serialize};

/// Everything about a [result](llmspell_flow::internal::CachedResult) except its output. Default values are left out; if all
/// are defaults, nothing is stored.
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
    /// Returns the JSON; `None` if all values are defaults.
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
    fn default_metadata_is_not_stored() {
        assert_eq!(ResultMeta::default().to_json(), None);
        let meta =
            ResultMeta { quality: Quality::Fallback, causes: vec![Error::failed("no")], ..ResultMeta::default() };
        let text = meta.to_json().unwrap();
        assert_eq!(text, r#"{"quality":"fallback","causes":[{"kind":"failed","message":"no"}]}"#);
        let read = ResultMeta::from_json(Some(&text)).unwrap();
        assert_eq!((read.quality, read.causes.len()), (Quality::Fallback, 1));
    }
}
