//! From our request to what goes below, and the refusal of what a wire cannot say.

use genai::chat::{
    ChatMessage, ChatOptions, ChatRequest, ChatResponseFormat, ContentPart, CustomPart, JsonSpec, MessageContent,
    ReasoningEffort, Tool, ToolCall as Call, ToolChoice as Choice, ToolResponse,
};
use llmspell::model::{
    Content, Effort, Image, Message, Options, OutputFormat, Request, ToolCall, ToolChoice, ToolResult,
};
use llmspell::{Error, Result};
use serde_json::{Value, json};

use crate::opaque::OpaquePart;
use crate::provider::Wire;

/// The target of a request.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) provider: &'a str,
    pub(crate) wire: Wire,
}

/// The request in the words of genai.
pub(crate) fn request(request: &Request, to: Target<'_>) -> Result<(ChatRequest, ChatOptions)> {
    let mut messages: Vec<ChatMessage> = Vec::with_capacity(request.messages.len());
    for (at, message) in request.messages.iter().enumerate() {
        let translated = self::message(message, to)?;
        // Anthropic wants the answers to the calls of one reply in one message.
        let continues = matches!(message, Message::Tool(_))
            && at.checked_sub(1).is_some_and(|before| matches!(request.messages[before], Message::Tool(_)));
        match messages.last_mut() {
            Some(last) if continues && to.wire == Wire::Anthropic => {
                last.content.extend(translated.content);
            }
            _ => messages.push(translated),
        }
    }
    let mut chat = ChatRequest::new(messages);
    // Ollama has no way to forbid calls other than to name no tools.
    let hides_tools = to.wire == Wire::Ollama && request.options.tool_choice == ToolChoice::None;
    if !request.tools.is_empty() && !hides_tools {
        let mut tools = Vec::with_capacity(request.tools.len());
        for spec in request.tools.iter() {
            if to.wire.own_tools().contains(&spec.name.as_str()) {
                let message = format!("`{}` is the name of a tool of the provider itself", spec.name);
                return Err(Error::invalid(message).with_hint("give your tool another name"));
            }
            let tool = Tool::new(spec.name.as_str()).with_description(spec.description.as_str());
            tools.push(tool.with_schema(spec.parameters.clone()));
        }
        chat = chat.with_tools(tools);
    }
    Ok((chat, options(&request.options, to)?))
}

fn options(asked: &Options, to: Target<'_>) -> Result<ChatOptions> {
    let mut options = ChatOptions {
        temperature: asked.temperature,
        top_p: asked.top_p,
        max_tokens: asked.max_tokens,
        seed: asked.seed,
        stop_sequences: asked.stop.clone(),
        capture_usage: Some(true),
        ..ChatOptions::default()
    };
    options.reasoning_effort = match asked.effort {
        Some(Effort::Minimal) => Some(ReasoningEffort::Minimal),
        Some(Effort::Low) => Some(ReasoningEffort::Low),
        Some(Effort::Medium) => Some(ReasoningEffort::Medium),
        Some(Effort::High) => Some(ReasoningEffort::High),
        Some(other) => return Err(unknown(to, &format!("effort {other:?}"))),
        // Without any effort genai takes `-high` at the end of a model's name for one, and off the name; a budget says
        // nothing on this wire.
        None if to.wire == Wire::OpenAi => Some(ReasoningEffort::Budget(0)),
        None => None,
    };
    // Reasoning must be captured to be kept. For Gemini this would request reasoning, which
    // models without reasoning refuse.
    options.capture_reasoning_content = Some(match to.wire {
        Wire::Anthropic => true,
        Wire::Gemini => asked.effort.is_some(),
        Wire::OpenAi | Wire::Ollama => false,
    });
    options.tool_choice = tool_choice(&asked.tool_choice, to)?;
    options.response_format = response_format(&asked.output, to)?;
    options.extra_body = extra_body(asked, to)?;
    Ok(options)
}

fn tool_choice(asked: &ToolChoice, to: Target<'_>) -> Result<Option<Choice>> {
    Ok(match asked {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(Choice::None),
        ToolChoice::Required | ToolChoice::Tool(_) if to.wire == Wire::Ollama => {
            return Err(unknown(to, "a choice of tools"));
        }
        ToolChoice::Required => Some(Choice::Required),
        ToolChoice::Tool(name) => Some(Choice::tool(name)),
        other => return Err(unknown(to, &format!("tool choice {other:?}"))),
    })
}

fn response_format(asked: &OutputFormat, to: Target<'_>) -> Result<Option<ChatResponseFormat>> {
    Ok(match asked {
        OutputFormat::Text => None,
        OutputFormat::Json => Some(match to.wire {
            Wire::OpenAi | Wire::Ollama => ChatResponseFormat::JsonMode,
            // A schema that allows everything.
            Wire::Gemini => JsonSpec::new("json", json!({})).into(),
            Wire::Anthropic => return Err(unknown(to, "JSON without a schema").with_hint("use OutputFormat::schema")),
        }),
        OutputFormat::Schema { .. } if to.wire == Wire::Ollama => return Err(unknown(to, "a schema for the answer")),
        OutputFormat::Schema { name, schema, .. } => Some(JsonSpec::new(name.as_str(), schema.clone()).into()),
        other => return Err(unknown(to, &format!("output format {other:?}"))),
    })
}

fn extra_body(asked: &Options, to: Target<'_>) -> Result<Option<Value>> {
    if asked.extra.is_empty() {
        return Ok(None);
    }
    if to.wire == Wire::Ollama {
        return Err(unknown(to, "`extra` options"));
    }
    if to.wire == Wire::Gemini && asked.extra.contains_key("generationConfig") && has_generation_config(asked) {
        let message = "`generationConfig` in `extra` would take the place of the other options";
        return Err(Error::invalid(message).with_hint("put all of them into `generationConfig`"));
    }
    Ok(Some(Value::Object(asked.extra.clone())))
}

/// Whether options are set that Gemini has in its `generationConfig`.
fn has_generation_config(asked: &Options) -> bool {
    let Options { temperature, top_p, max_tokens, seed, stop, effort, output, .. } = asked;
    temperature.is_some()
        || top_p.is_some()
        || max_tokens.is_some()
        || seed.is_some()
        || !stop.is_empty()
        || effort.is_some()
        || *output != OutputFormat::Text
}

fn unknown(to: Target<'_>, what: &str) -> Error {
    let error = Error::invalid(format!("{}: this interface knows no such thing as {what}", to.provider));
    match to.wire {
        Wire::Ollama => error.with_hint(
            "Ollama takes it at its other interface: Models::endpoint(\"local\", Wire::OpenAi, \"http://127.0.0.1:11434/v1\")",
        ),
        _ => error,
    }
}

fn message(message: &Message, to: Target<'_>) -> Result<ChatMessage> {
    Ok(match message {
        Message::System { text, .. } => ChatMessage::system(text.as_str()),
        Message::User { content, .. } => {
            let parts = content.iter().map(|part| self::content(part, to)).collect::<Result<Vec<_>>>()?;
            ChatMessage::user(MessageContent::from_parts(parts))
        }
        Message::Assistant { text, reasoning, tool_calls, opaque, .. } => {
            let parts = assistant(text, reasoning, tool_calls, opaque, to);
            ChatMessage::assistant(MessageContent::from_parts(parts))
        }
        Message::Tool(answer) => ChatMessage::tool(MessageContent::from_parts(vec![tool_answer(answer, to)])),
        other => return Err(Error::invalid(format!("{}: no way to say {other:?}", to.provider))),
    })
}

fn content(content: &Content, to: Target<'_>) -> Result<ContentPart> {
    Ok(match content {
        Content::Text(text) => ContentPart::from_text(text.as_str()),
        Content::Image(Image::Data { media_type, base64, .. }) => {
            if !media_type.starts_with("image/") {
                let message = format!("`{media_type}` is not the media type of a picture");
                return Err(Error::invalid(message).with_hint("such as image/png"));
            }
            ContentPart::from_binary_base64(media_type.as_str(), base64.as_str(), None)
        }
        Content::Image(Image::Url(url)) => match to.wire {
            // Below, the URL would be left out, with no more than a line in a log.
            Wire::Anthropic => custom(json!({ "type": "image", "source": { "type": "url", "url": url } })),
            Wire::Ollama => return Err(unknown(to, "a picture by its address").with_hint("send its data: Image::data")),
            Wire::OpenAi | Wire::Gemini => ContentPart::from_binary_url(media_type_of(url), url.as_str(), None),
        },
        other => return Err(Error::invalid(format!("{}: no way to show {other:?}", to.provider))),
    })
}

/// The type that the end of an address suggests. OpenAI looks for itself; Gemini wants to be told.
fn media_type_of(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    match path.rsplit('.').next() {
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("heic") => "image/heic",
        _ => "image/jpeg",
    }
}

fn custom(data: Value) -> ContentPart {
    ContentPart::Custom(CustomPart { model_iden: None, data })
}

fn assistant(
    text: &str,
    reasoning: &str,
    tool_calls: &[ToolCall],
    opaque: &[Value],
    to: Target<'_>,
) -> Vec<ContentPart> {
    let mut parts = Vec::new();
    let mut signatures: Vec<Option<String>> = vec![None; tool_calls.len()];
    for part in OpaquePart::among(opaque) {
        match part {
            OpaquePart::Anthropic { thinking, signature, block } if to.wire == Wire::Anthropic => {
                parts.extend(block.map(custom));
                if let (Some(thinking), Some(signature)) = (thinking, signature) {
                    parts.push(ContentPart::ThoughtSignature(signature));
                    parts.push(ContentPart::ReasoningContent(thinking));
                }
            }
            OpaquePart::Gemini { signature, call } if to.wire == Wire::Gemini => match call {
                Some(call) => {
                    if let Some(place) = signatures.get_mut(call) {
                        *place = Some(signature);
                    }
                }
                None => parts.push(ContentPart::ThoughtSignature(signature)),
            },
            // Without a call after them, thoughts are over, and some providers refuse them.
            OpaquePart::OpenAi { provider }
                if to.wire == Wire::OpenAi
                    && provider == to.provider
                    && !tool_calls.is_empty()
                    && !reasoning.is_empty() =>
            {
                parts.push(ContentPart::ReasoningContent(reasoning.to_owned()));
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        parts.push(ContentPart::from_text(text));
    }
    for (call, signature) in tool_calls.iter().zip(signatures) {
        parts.push(ContentPart::ToolCall(Call {
            call_id: call.id.clone(),
            fn_name: call.name.clone(),
            fn_arguments: arguments(&call.arguments),
            thought_signatures: signature.map(|signature| vec![signature]),
        }));
    }
    parts
}

/// Returns the arguments of a call as an object, because providers accept nothing else back. Invalid JSON is wrapped,
/// so that the model can read it in the next turn.
fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return json!({});
    }
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => object,
        Ok(other) => json!({ "value": other }),
        Err(_) => json!({ "not_json": text }),
    }
}

fn tool_answer(answer: &ToolResult, to: Target<'_>) -> ContentPart {
    match to.wire {
        // The one wire that can say so.
        Wire::Anthropic if answer.is_error => custom(json!({
            "type": "tool_result",
            "tool_use_id": answer.call_id,
            "content": answer.text,
            "is_error": true,
        })),
        _ => {
            let response = ToolResponse::new(answer.call_id.as_str(), answer.text.as_str());
            ContentPart::ToolResponse(response.with_fn_name(answer.name.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_wrote_badly_goes_back_as_an_object() {
        assert_eq!(arguments(r#"{"a":1}"#), json!({ "a": 1 }));
        assert_eq!(arguments(""), json!({}));
        assert_eq!(arguments("[1]"), json!({ "value": [1] }));
        assert_eq!(arguments("{\"a\":"), json!({ "not_json": "{\"a\":" }));
    }

    #[test]
    fn the_end_of_an_address_tells_the_type() {
        assert_eq!(media_type_of("https://example.org/a.PNG?size=2"), "image/png");
        assert_eq!(media_type_of("https://example.org/photo"), "image/jpeg");
    }

    #[test]
    fn what_a_wire_cannot_say_is_refused() {
        let refused = |wire, options: Options| {
            let to = Target { provider: "p", wire };
            super::request(&Request::new("x").with_options(options), to).unwrap_err().message().to_owned()
        };
        let schema = OutputFormat::schema("s", json!({}));
        assert!(refused(Wire::Ollama, Options::new().output(schema)).contains("schema"));
        assert!(refused(Wire::Ollama, Options::new().tool_choice(ToolChoice::Required)).contains("choice of tools"));
        assert!(refused(Wire::Ollama, Options::new().extra("k", 1)).contains("`extra`"));
        assert!(refused(Wire::Anthropic, Options::new().output(OutputFormat::Json)).contains("JSON without"));
        let both = Options::new().seed(1).extra("generationConfig", json!({}));
        assert!(refused(Wire::Gemini, both).contains("take the place"));
    }
}
