//! Against servers that others have written: `tests/peers/models/run`. They are not part of an ordinary run.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use llmspell::model::{
    Finish, Message, Model, ModelError, ModelErrorClass, ModelEvent, Options, OutputFormat, Request, ToolAnswer,
    ToolChoice,
};
use llmspell::tool::ToolSpec;
use llmspell::{Context, Step, Tool};
use llmspell_models::{Models, RemoteModel, Wire};
use serde_json::{Value, json};
use tokio::time::timeout;

/// A small model on a busy machine takes its time.
const LONG: Duration = Duration::from_secs(120);

fn address(variable: &str) -> String {
    std::env::var(variable).expect("tests/peers/models/run starts the servers and says where they are")
}

fn llama() -> RemoteModel {
    let url = format!("{}/v1", address("LLAMA_URL"));
    Models::new().endpoint("llama", Wire::OpenAi, url).get("llama/smollm2-135m").unwrap()
}

fn aimock(wire: Wire) -> RemoteModel {
    let base = address("AIMOCK_URL");
    let path = match wire {
        Wire::Gemini => "/v1beta",
        Wire::Ollama => "",
        _ => "/v1",
    };
    let models = Models::new().endpoint("aimock", wire, format!("{base}{path}")).key("aimock", "sk-aimock-0123");
    models.get("aimock/some-model").unwrap()
}

fn weather() -> Vec<Arc<ToolSpec>> {
    #[derive(serde::Deserialize, llmspell::schemars::JsonSchema)]
    #[schemars(crate = "llmspell::schemars")]
    struct Place {
        city: String,
    }
    let tool = Tool::new("weather", "The weather in a city.", |place: Place, _| async move { Ok(place.city) });
    vec![Arc::new(tool.spec().clone())]
}

#[tokio::test]
#[ignore = "needs tests/peers/models/run"]
async fn llama_says_it_piece_by_piece_and_how_much_it_was() {
    let request = Request::new("Say hello.").with_options(Options::new().max_tokens(12).temperature(0.0));
    let mut stream = llama().stream(request, &Context::new());
    let (mut pieces, mut usage, mut finish) = (0, None, None);
    while let Some(event) = timeout(LONG, stream.next()).await.unwrap() {
        match event.unwrap() {
            ModelEvent::Text(_) => pieces += 1,
            ModelEvent::Usage(used) => usage = Some(used),
            ModelEvent::Finish(reason) => finish = Some(reason),
            _ => {}
        }
    }
    assert!(pieces > 1 && matches!(finish, Some(Finish::Stop | Finish::Length)), "{pieces} {finish:?}");
    assert!(usage.is_some_and(|usage| usage.input_tokens > 0 && usage.output_tokens > 0), "{usage:?}");
}

#[tokio::test]
#[ignore = "needs tests/peers/models/run"]
async fn llama_keeps_to_a_schema_and_calls_a_tool_that_it_must() {
    let schema = json!({ "type": "object", "required": ["label"], "additionalProperties": false,
        "properties": { "label": { "enum": ["spam", "ham"] } } });
    let output = OutputFormat::schema("label", schema);
    let request = Request::new("Buy now!!! Spam or ham?").with_options(Options::new().max_tokens(40).output(output));
    let reply = timeout(LONG, llama().step().run(request, &Context::new())).await.unwrap().unwrap();
    let label: Value = serde_json::from_str(&reply.text).unwrap();
    assert!(label["label"] == "spam" || label["label"] == "ham", "{label}");

    let options = Options::new().max_tokens(80).tool_choice(ToolChoice::Required).temperature(0.0);
    let request = Request::new("What is the weather in Oslo?").with_tools(weather()).with_options(options);
    let reply = timeout(LONG, llama().step().run(request, &Context::new())).await.unwrap().unwrap();
    assert_eq!((reply.finish, reply.tool_calls[0].name.as_str()), (Finish::ToolCalls, "weather"));
    let arguments: Value = serde_json::from_str(&reply.tool_calls[0].arguments).unwrap();
    assert!(arguments["city"].is_string(), "{arguments}");
}

#[tokio::test]
#[ignore = "needs tests/peers/models/run"]
async fn llama_is_free_again_within_a_second_of_being_dropped() {
    let mut stream = llama().stream(Request::new("Tell a very long story."), &Context::new());
    while !matches!(timeout(LONG, stream.next()).await.unwrap(), Some(Ok(ModelEvent::Text(_)))) {}
    drop(stream);
    let dropped = tokio::time::Instant::now();
    loop {
        let slots = reqwest::get(format!("{}/slots", address("LLAMA_URL"))).await.unwrap().text().await.unwrap();
        let slots: Value = serde_json::from_str(&slots).unwrap();
        if slots.as_array().unwrap().iter().all(|slot| slot["is_processing"] == false) {
            break;
        }
        assert!(dropped.elapsed() < Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("free after {:?}", dropped.elapsed());
}

#[tokio::test]
#[ignore = "needs tests/peers/models/run"]
async fn llama_cannot_read_what_is_too_long() {
    let request = Request::new("word ".repeat(4000));
    let error = timeout(LONG, llama().step().run(request, &Context::new())).await.unwrap().unwrap_err();
    let cause = error.downcast_ref::<ModelError>().unwrap();
    assert_eq!((cause.class, cause.status), (ModelErrorClass::ContextTooLong, Some(400)), "{error:?}");
}

#[tokio::test]
#[ignore = "needs tests/peers/models/run"]
async fn aimock_is_understood_on_every_wire() {
    for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini, Wire::Ollama] {
        let (ask, cx) = (aimock(wire).step(), Context::new());
        let run = |request: Request| timeout(LONG, ask.run(request, &cx));
        let reply = run("hello".into()).await.unwrap().unwrap();
        assert_eq!(reply.text, "Hello from the other side of the wire.", "{wire:?}");

        let question = Message::user("weather");
        let reply = run(Request::of(vec![question.clone()]).with_tools(weather())).await.unwrap().unwrap();
        assert_eq!(reply.finish, Finish::ToolCalls, "{wire:?}");
        let call = reply.tool_calls[0].clone();
        assert_eq!((call.name.as_str(), call.arguments.as_str()), ("weather", "{\"city\":\"Oslo\"}"), "{wire:?}");
        let answer: ToolAnswer =
            serde_json::from_value(json!({ "call_id": call.id, "name": "weather", "text": "-3" })).unwrap();
        let conversation = vec![question, reply.into_message(), Message::Tool(answer)];
        let reply = run(Request::of(conversation).with_tools(weather())).await.unwrap().unwrap();
        assert_eq!(reply.text, "It is cold.", "{wire:?}");

        let error = run("busy".into()).await.unwrap().unwrap_err();
        let cause = error.downcast_ref::<ModelError>().unwrap();
        assert_eq!((cause.class, cause.status), (ModelErrorClass::Overloaded, Some(503)), "{wire:?}: {error:?}");

        let error = run("cut".into()).await.unwrap().unwrap_err();
        let cause = error.downcast_ref::<ModelError>().unwrap();
        assert_eq!(cause.class, ModelErrorClass::Connection, "{wire:?}: {error:?}");
    }
}
