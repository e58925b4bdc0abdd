//! What a provider wants back with a reply: the opaque parts of a message.

use genai::chat::{ContentPart, CustomPart, MessageContent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One opaque part. It names its wire, so that a conversation can go on with another provider, which gets none of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "wire", rename_all = "snake_case")]
pub(crate) enum Kept {
    /// A signed thought, or (`block`) one that comes encrypted.
    Anthropic {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thinking: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        block: Option<Value>,
    },
    /// The signature of a call, or of the text.
    Gemini {
        signature: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<usize>,
    },
    /// This provider has thought aloud. Some (DeepSeek, Kimi) refuse the answers of tools if what they thought before
    /// calling them does not come along.
    #[serde(rename = "openai")]
    OpenAi { provider: String },
}

impl Kept {
    /// The part as an event and a message carry it.
    pub(crate) fn into_value(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The parts among these that are ours.
    pub(crate) fn among(opaque: &[Value]) -> impl Iterator<Item = Kept> {
        opaque.iter().filter_map(|value| Kept::deserialize(value).ok())
    }

    /// What Anthropic wants back of a finished reply, in its order.
    pub(crate) fn by_anthropic(content: MessageContent) -> Vec<Kept> {
        let mut kept = Vec::new();
        for part in content.into_parts() {
            match part {
                ContentPart::ThoughtSignature(signature) => {
                    kept.push(Kept::Anthropic { thinking: None, signature: Some(signature), block: None });
                }
                // A thought follows its signature.
                ContentPart::ReasoningContent(text) => {
                    if let Some(Kept::Anthropic { thinking: place @ None, signature: Some(_), .. }) = kept.last_mut() {
                        *place = Some(text);
                    }
                }
                ContentPart::Custom(CustomPart { data, .. }) => {
                    kept.push(Kept::Anthropic { thinking: None, signature: None, block: Some(data) });
                }
                _ => {}
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_of_others_are_left_alone() {
        let opaque = [json!({ "theirs": 1 }), json!("text"), json!({ "wire": "gemini", "signature": "s", "call": 1 })];
        let kept: Vec<_> = Kept::among(&opaque).collect();
        assert_eq!(kept, [Kept::Gemini { signature: "s".into(), call: Some(1) }]);
        assert_eq!(kept[0].clone().into_value(), opaque[2]);
    }
}
