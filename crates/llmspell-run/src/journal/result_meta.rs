//! What a step gave, as it is written down.

use llmspell::{Error, Provenance, Quality};
use serde::{Deserialize, Serialize};

/// All but the output of a [result](llmspell_flow::internal::Kept). What is as usual is left out, and if everything is, nothing is written at all.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Story {
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

impl Story {
    /// Its JSON; `None` if there is nothing to tell.
    pub(crate) fn written(&self) -> Option<String> {
        let is_plain = is_full(&self.quality) && self.causes.is_empty() && is_plain(&self.provenance);
        // Maps have text for keys and numbers are finite, so there is always JSON.
        (!is_plain).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    pub(crate) fn read(text: Option<&str>) -> serde_json::Result<Self> {
        text.map_or_else(|| Ok(Story::default()), serde_json::from_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_story_takes_no_room() {
        assert_eq!(Story::default().written(), None);
        let story = Story { quality: Quality::Fallback, causes: vec![Error::failed("no")], ..Story::default() };
        let text = story.written().unwrap();
        assert_eq!(text, r#"{"quality":"fallback","causes":[{"kind":"failed","message":"no"}]}"#);
        let read = Story::read(Some(&text)).unwrap();
        assert_eq!((read.quality, read.causes.len()), (Quality::Fallback, 1));
    }
}
