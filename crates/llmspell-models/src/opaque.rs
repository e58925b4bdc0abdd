//! Values that a provider needs back with a reply: the opaque parts of a message.

use genai::chat::{ContentPart, CustomPart, MessageContent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An opaque part. It names its wire, so that a conversation can continue with another provider, which receives none of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "wire", rename_all = "snake_case")]
pub(crate) enum OpaquePart {
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

impl OpaquePart {
    /// The part as an event and a message carry it.
    pub(crate) fn into_value(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The parts among these that are ours.
    pub(crate) fn among(opaque: &[Value]) -> impl Iterator<Item = OpaquePart> {
        opaque.iter().filter_map(|value| OpaquePart::deserialize(value).ok())
    }

    /// Returns the parts of a finished reply that Anthropic needs back, in its order.
    pub(crate) fn by_anthropic(content: MessageContent) -> Vec<OpaquePart> {
        let mut opaque = Vec::new();
        for part in content.into_parts() {
            match part {
                ContentPart::ThoughtSignature(signature) => {
                    opaque.push(OpaquePart::Anthropic { thinking: None, signature: Some(signature), block: None });
                }
                // A thought follows its signature.
                ContentPart::ReasoningContent(text) => {
                    if let Some(OpaquePart::Anthropic { thinking: place @ None, signature: Some(_), .. }) =
                        opaque.last_mut()
                    {
                        *place = Some(text);
                    }
                }
                ContentPart::Custom(CustomPart { data, .. }) => {
                    opaque.push(OpaquePart::Anthropic { thinking: None, signature: None, block: Some(data) });
                }
                _ => {}
            }
        }
        opaque
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts_of_others_are_left_alone() {
        let opaque = [json!({ "theirs": 1 }), json!("text"), json!({ "wire": "gemini", "signature": "s", "call": 1 })];
        let parts: Vec<_> = OpaquePart::among(&opaque).collect();
        assert_eq!(parts, [OpaquePart::Gemini { signature: "s".into(), call: Some(1) }]);
        assert_eq!(parts[0].clone().into_value(), opaque[2]);
    }
}
