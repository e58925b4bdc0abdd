//! Requests arrive complete, in the format of each wire.

use std::sync::Arc;

use llmspell::Tool;
use llmspell::model::{Content, Effort, Image, Message, Options, OutputFormat, Request, ToolChoice};
use llmspell_models::Wire;
use llmspell_test::fault_server::Answer;
use serde_json::{Value, json};

use super::{WIRES, events, model, server};

/// The body that a request comes to.
async fn sent(wire: Wire, request: Request) -> Value {
    let server = server([Answer::says(wire, "Hi")]).await;
    let (_, error) = events(&model(&server, wire), request).await;
    assert!(error.is_none(), "{wire:?}: {error:?}");
    server.requests()[0].body.clone()
}

async fn refused(wire: Wire, request: Request) -> llmspell::Error {
    let server = server([]).await;
    let (_, error) = events(&model(&server, wire), request).await;
    assert!(server.requests().is_empty(), "{wire:?}: nothing is sent");
    error.unwrap()
}

#[tokio::test]
async fn options_have_their_names_on_each_wire() {
    let options = Options::new().temperature(0.5).top_p(0.25).max_tokens(99).seed(7).stop("END");
    let request = || Request::new("Hello?").with_options(options.clone());
    let body = sent(Wire::OpenAi, request()).await;
    assert_eq!(body["stream"], true);
    assert_eq!(body["stream_options"]["include_usage"], true);
    assert_eq!((&body["temperature"], &body["top_p"], &body["seed"]), (&json!(0.5), &json!(0.25), &json!(7)));
    assert_eq!((&body["max_tokens"], &body["stop"]), (&json!(99), &json!(["END"])));
    assert!(body.get("reasoning_effort").is_none() && body.get("tool_choice").is_none());

    let body = sent(Wire::Anthropic, request()).await;
    assert_eq!((&body["temperature"], &body["top_p"], &body["max_tokens"]), (&json!(0.5), &json!(0.25), &json!(99)));
    assert_eq!(body["stop_sequences"], json!(["END"]));
    assert!(body.get("seed").is_none() && body.get("thinking").is_none());

    let body = sent(Wire::Gemini, request()).await;
    assert_eq!(
        body["generationConfig"],
        json!({ "temperature": 0.5, "topP": 0.25, "maxOutputTokens": 99, "seed": 7, "stopSequences": ["END"] })
    );

    let body = sent(Wire::Ollama, request()).await;
    assert_eq!(
        body["options"],
        json!({ "temperature": 0.5, "top_p": 0.25, "num_predict": 99, "seed": 7, "stop": ["END"] })
    );
}

#[tokio::test]
async fn effort_is_asked_for_in_the_words_of_each() {
    let request = || Request::new("Hello?").with_options(Options::new().effort(Effort::Low));
    assert_eq!(sent(Wire::OpenAi, request()).await["reasoning_effort"], "low");
    assert!(sent(Wire::Gemini, request()).await["generationConfig"]["thinkingConfig"].is_object());
    assert_eq!(sent(Wire::Ollama, request()).await["think"], "low");
    let body = sent(Wire::Anthropic, request()).await;
    assert!(body.get("thinking").is_some() || body.get("output_config").is_some(), "{body}");
}

#[tokio::test]
async fn an_answer_of_a_shape_is_asked_for_or_refused() {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let shaped = || {
        let output = OutputFormat::schema("number", schema.clone());
        Request::new("A number?").with_options(Options::new().output(output))
    };
    let body = sent(Wire::OpenAi, shaped()).await;
    assert_eq!(body["response_format"]["json_schema"]["name"], "number");
    assert_eq!(body["response_format"]["json_schema"]["schema"]["properties"], schema["properties"]);
    assert_eq!(sent(Wire::Gemini, shaped()).await["generationConfig"]["responseJsonSchema"], schema);
    assert_eq!(sent(Wire::Anthropic, shaped()).await["output_config"]["format"]["type"], "json_schema");
    let error = refused(Wire::Ollama, shaped()).await;
    assert!(error.hint().is_some_and(|hint| hint.contains("Wire::OpenAi")), "{error:?}");

    let json = || Request::new("A number?").with_options(Options::new().output(OutputFormat::Json));
    assert_eq!(sent(Wire::OpenAi, json()).await["response_format"]["type"], "json_object");
    assert_eq!(sent(Wire::Gemini, json()).await["generationConfig"]["responseMimeType"], "application/json");
    assert_eq!(sent(Wire::Ollama, json()).await["format"], "json");
    assert!(refused(Wire::Anthropic, json()).await.message().contains("without a schema"));
}

fn tools(name: &str) -> Vec<Arc<llmspell::tool::ToolSpec>> {
    #[derive(serde::Deserialize, llmspell::schemars::JsonSchema)]
    #[schemars(crate = "llmspell::schemars")]
    struct Place {
        city: String,
    }
    let tool = Tool::new(name, "The weather there.", |place: Place, _| async move { Ok(place.city) });
    vec![Arc::new(tool.spec().clone())]
}

#[tokio::test]
async fn tools_are_described_and_chosen() {
    let request = |choice: ToolChoice| {
        Request::new("Weather?").with_tools(tools("weather")).with_options(Options::new().tool_choice(choice))
    };
    let body = sent(Wire::OpenAi, request(ToolChoice::Tool("weather".into()))).await;
    let function = &body["tools"][0]["function"];
    assert_eq!((&function["name"], &function["description"]), (&json!("weather"), &json!("The weather there.")));
    assert_eq!(function["parameters"]["properties"]["city"]["type"], "string");
    assert_eq!(body["tool_choice"]["function"]["name"], "weather");

    let body = sent(Wire::Anthropic, request(ToolChoice::Required)).await;
    assert_eq!(body["tools"][0]["input_schema"]["properties"]["city"]["type"], "string");
    assert_eq!(body["tool_choice"]["type"], "any");

    let body = sent(Wire::Gemini, request(ToolChoice::None)).await;
    let declared = &body["tools"][0]["functionDeclarations"][0];
    assert_eq!(declared["parametersJsonSchema"]["properties"]["city"]["type"], "string");
    assert_eq!(body["toolConfig"]["functionCallingConfig"]["mode"], "NONE");

    let body = sent(Wire::Ollama, request(ToolChoice::Auto)).await;
    assert_eq!(body["tools"][0]["function"]["name"], "weather");
    assert!(sent(Wire::Ollama, request(ToolChoice::None)).await.get("tools").is_none());
    assert!(refused(Wire::Ollama, request(ToolChoice::Required)).await.message().contains("choice of tools"));
}

#[tokio::test]
async fn a_tool_is_never_taken_for_one_of_the_providers() {
    for (wire, name) in [(Wire::Anthropic, "web_search"), (Wire::Gemini, "googleSearch")] {
        let error = refused(wire, Request::new("?").with_tools(tools(name))).await;
        assert!(error.hint().is_some_and(|hint| hint.contains("another name")), "{error:?}");
    }
}

#[tokio::test]
async fn pictures_are_shown_or_refused() {
    let show = |image: Image| {
        let content = vec![Content::Text("What is it?".into()), Content::Image(image)];
        Request::of(vec![Message::user_content(content)])
    };
    let data = || Image::data("image/png", "iVBORw0KGgo=");
    let url = || Image::Url("https://example.org/cat.png".into());
    for wire in WIRES {
        let body = sent(wire, show(data())).await.to_string();
        assert!(body.contains("iVBORw0KGgo="), "{wire:?}: {body}");
        if wire == Wire::Ollama {
            assert!(refused(wire, show(url())).await.hint().is_some_and(|hint| hint.contains("Image::data")));
        } else {
            let body = sent(wire, show(url())).await.to_string();
            assert!(body.contains("https://example.org/cat.png"), "{wire:?}: {body}");
        }
    }
    let wrong = Image::data("text/plain", "aGk=");
    assert!(refused(Wire::OpenAi, show(wrong)).await.message().contains("media type"));
}

#[tokio::test]
async fn a_conversation_with_tools_arrives_whole() {
    let conversation: Vec<Message> = serde_json::from_value(json!([
        { "role": "system", "text": "Be brief." },
        { "role": "user", "content": [{ "text": "Oslo or Rome?" }] },
        { "role": "assistant", "text": "I look.", "tool_calls": [
            { "id": "a", "name": "weather", "arguments": "{\"city\":\"Oslo\"}" },
            { "id": "b", "name": "weather", "arguments": "{\"city\":" } ] },
        { "role": "tool", "call_id": "a", "name": "weather", "text": "3 degrees" },
        { "role": "tool", "call_id": "b", "name": "weather", "text": "not JSON", "is_error": true },
    ]))
    .unwrap();
    let request = || Request::of(conversation.clone());
    let body = sent(Wire::OpenAi, request()).await;
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 5);
    assert_eq!(messages[0], json!({ "role": "system", "content": "Be brief." }));
    assert_eq!(messages[2]["tool_calls"][0]["function"]["arguments"], "{\"city\":\"Oslo\"}");
    assert_eq!(messages[4], json!({ "role": "tool", "tool_call_id": "b", "content": "not JSON" }));

    let body = sent(Wire::Anthropic, request()).await;
    assert_eq!(body["system"], "Be brief.");
    assert_eq!(body["messages"].as_array().unwrap().len(), 3, "the answers are one message");
    assert_eq!(
        body["messages"][2]["content"],
        json!([
            { "type": "tool_result", "tool_use_id": "a", "content": "3 degrees" },
            { "type": "tool_result", "tool_use_id": "b", "content": "not JSON", "is_error": true },
        ])
    );
    assert_eq!(body["messages"][1]["content"][2]["input"], json!({ "not_json": "{\"city\":" }));

    let body = sent(Wire::Gemini, request()).await;
    assert_eq!(body["systemInstruction"]["parts"][0]["text"], "Be brief.");
    assert_eq!(body["contents"][2]["parts"][1]["functionResponse"]["name"], "weather");

    let body = sent(Wire::Ollama, request()).await;
    assert_eq!(body["messages"][4], json!({ "role": "tool", "content": "not JSON" }));
}

#[tokio::test]
async fn what_only_one_provider_knows_is_sent_along() {
    let request = || Request::new("Hello?").with_options(Options::new().extra("top_k", 40));
    for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini] {
        assert_eq!(sent(wire, request()).await["top_k"], 40, "{wire:?}");
    }
    assert!(refused(Wire::Ollama, request()).await.message().contains("`extra`"));
}
