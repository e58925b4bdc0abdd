//! Answers of a Rust type.

use llmspell::agent::Agent;
use llmspell::model::Message;
use llmspell::model::{EventSender, Finish, ModelEvent, OutputFormat};
use llmspell::observe::Quality;
use llmspell::schemars::JsonSchema;
use llmspell::{Context, ErrorKind, Step, value};
use llmspell_test::ScriptedModel;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{assert_answered, tool, unfinished};
use crate::model::ClosureModel;
use crate::probe::ms;

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Verdict {
    spam: bool,
}

const SPAM: Verdict = Verdict { spam: true };

#[tokio::test]
async fn schema_is_requested_and_the_answer_parsed() {
    let model = ScriptedModel::new("test").calls("t", json!({})).says(r#"{"spam": true}"#);
    let agent = Agent::builder(model.clone()).tools([tool("t", 0)]).build().unwrap().typed::<Verdict>();
    let typed = agent.with_reply().run("?".into(), &Context::new()).await.unwrap();
    assert_eq!((typed.value, typed.reply.turns, typed.reply.tool_calls), (SPAM, 2, 1));
    for request in model.requests() {
        let OutputFormat::Schema { name, schema, .. } = &request.options.output else { panic!("{request:?}") };
        assert_eq!((name.as_str(), &schema["required"]), ("Verdict", &json!(["spam"])));
    }
    let model = ScriptedModel::new("test").says("[1, 2]").says("[1]");
    let numbers = Agent::builder(model.clone()).build().unwrap().typed::<Vec<u32>>();
    assert_eq!(numbers.run("?".into(), &Context::new()).await.unwrap(), [1, 2]);
    let OutputFormat::Schema { name, .. } = &model.requests()[0].options.output else { panic!() };
    assert_eq!(name, "Vec");
    let pair = Agent::builder(model.clone()).build().unwrap().typed::<(u8,)>();
    assert_eq!(pair.run("?".into(), &Context::new()).await.unwrap(), (1,));
    let OutputFormat::Schema { name, .. } = &model.requests()[1].options.output else { panic!() };
    assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name}");
}

#[tokio::test]
async fn json_between_text_and_in_code_blocks_is_found() {
    for answer in [
        "```json\n{ \"spam\": true }\n```",
        "Here it is:\n```\n{ \"spam\": true }\n```\nAnything else?",
        "It is spam: {\"spam\": true}. Quite sure.",
        "  {\"spam\":true}\n",
    ] {
        let agent = Agent::builder(ScriptedModel::new("test").says(answer)).build().unwrap().typed::<Verdict>();
        let typed = agent.with_reply().run("?".into(), &Context::new()).await.unwrap();
        assert_eq!((typed.value, typed.reply.turns, typed.reply.text.as_str()), (SPAM, 1, answer));
    }
}

#[tokio::test]
async fn model_gets_exactly_one_chance_to_correct_its_answer() {
    let model = ScriptedModel::new("test").says("It is {spam}!").says(r#"{"spam": true}"#);
    let agent = Agent::builder(model.clone()).build().unwrap().typed::<Verdict>();
    let outcome = agent.with_reply().with_outcome().run("?".into(), &Context::new()).await.unwrap();
    let typed = outcome.result.unwrap();
    assert_eq!((typed.value, typed.reply.turns, typed.reply.conversation.messages().len()), (SPAM, 2, 4));
    assert_eq!(typed.reply.usage, outcome.provenance.usage());
    let complaint = model.requests()[1].last_text();
    assert!(complaint.contains("key must be a string") && complaint.contains("\"required\":[\"spam\"]"), "{complaint}");

    let model = ScriptedModel::new("test").says("No.").says("Never.").says(r#"{"spam": true}"#);
    let agent = Agent::builder(model.clone()).build().unwrap().typed::<Verdict>();
    let error = agent.run("?".into(), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), model.turns_left()), (ErrorKind::Failed, 1));
    assert!(error.message().contains("Verdict"), "{error}");
    let so_far = unfinished(&error);
    assert_eq!((so_far.turns, so_far.conversation.messages().len()), (2, 4), "nothing that was paid for is lost");
    // The last message is the model's: a user message continues the conversation.
    let mut again = so_far.conversation.clone();
    again.user("Only JSON, please.");
    assert_eq!(agent.run(again, &Context::new()).await.unwrap(), SPAM);
}

#[tokio::test]
async fn repair_turn_may_call_tools() {
    let model = ScriptedModel::new("test").says("No.").calls("t", json!({})).says(r#"{"spam": true}"#);
    let agent = Agent::builder(model).tools([tool("t", 0)]).build().unwrap().typed::<Verdict>();
    let typed = agent.with_reply().run("?".into(), &Context::new()).await.unwrap();
    assert_eq!((typed.value, typed.reply.turns), (SPAM, 3));
    assert_answered(&typed.reply.conversation);
}

#[tokio::test(start_paused = true)]
async fn limits_cover_the_repair_turn() {
    let model = || ScriptedModel::new("test").says("No.").says(r#"{"spam": true}"#);
    let agent = Agent::builder(model()).max_turns(1).partial().build().unwrap().typed::<Verdict>();
    let error = agent.run("?".into(), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, "no answer after 1 turn"));

    let started = Instant::now();
    let slow = Agent::builder(model().delay(ms(600))).deadline(ms(1000)).partial().build().unwrap();
    let error = slow.typed::<Verdict>().run("?".into(), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), started.elapsed().as_millis() / 10), (ErrorKind::Timeout, 100));
    assert_eq!(unfinished(&error).turns, 2);
}

#[tokio::test(start_paused = true)]
async fn invalid_unfinished_reply_is_not_in_the_conversation() {
    let model = ClosureModel(|events: EventSender| async move {
        events.send(ModelEvent::Text("Let me think about".into())).await?;
        std::future::pending().await
    });
    let agent = Agent::builder(model).deadline(ms(100)).partial().build().unwrap().typed::<Verdict>();
    let error = agent.run("?".into(), &Context::new()).await.unwrap_err();
    let conversation = unfinished(&error).conversation.clone();
    assert_eq!((error.kind(), conversation.messages()), (ErrorKind::Timeout, &[Message::user("?")][..]));
    let model = ScriptedModel::new("test").says(r#"{"spam": true}"#);
    let agent = Agent::builder(model).build().unwrap().typed::<Verdict>();
    assert_eq!(agent.run(conversation, &Context::new()).await.unwrap(), SPAM);
}

#[tokio::test(start_paused = true)]
async fn partial_answer_counts_if_it_is_valid() {
    let answer = ModelEvent::Text(r#"{"spam": true}"#.into());
    let late = ScriptedModel::new("test").sends([answer.clone(), ModelEvent::Finish(Finish::Length)]);
    let agent = Agent::builder(late).build().unwrap().typed::<Verdict>();
    let outcome = agent.with_outcome().run("?".into(), &Context::new()).await.unwrap();
    assert_eq!((outcome.quality, outcome.result.unwrap()), (Quality::Partial, SPAM));
}

#[tokio::test]
async fn typed_agent_and_its_fallback_return_the_same_type() {
    let model = || ScriptedModel::new("test").says("No.").says("Never.");
    let agent = Agent::builder(model()).build().unwrap().typed::<Verdict>();
    let outcome = agent.fallback(value(SPAM)).with_outcome().run("?".into(), &Context::new()).await.unwrap();
    assert_eq!((outcome.quality, outcome.result.unwrap()), (Quality::Fallback, SPAM));
    let agent = Agent::builder(model()).build().unwrap().with_schema("list", json!({ "type": "array" }), |_| Ok(()));
    let answer = agent.fallback(value(json!([]))).run("?".into(), &Context::new()).await.unwrap();
    assert_eq!(answer, json!([]));
}

#[tokio::test]
async fn hand_written_schema_is_requested_and_repeated_to_correct_an_answer() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: i32,
    }
    let schema = json!({ "type": "object", "required": ["x"], "properties": { "x": { "type": "integer" } } });
    let model = ScriptedModel::new("test").says(r#"{"x": "left"}"#).says(r#"{"x": -1}"#);
    let agent = Agent::builder(model.clone()).build().unwrap().typed_from_schema::<Point>(schema.clone());
    assert_eq!(agent.run("?".into(), &Context::new()).await.unwrap(), Point { x: -1 });
    let requests = model.requests();
    let OutputFormat::Schema { name, schema: sent, .. } = &requests[0].options.output else { panic!("{requests:?}") };
    assert_eq!((name.as_str(), sent), ("Point", &schema));
    assert!(requests[1].last_text().contains(&schema.to_string()), "{}", requests[1].last_text());
}
