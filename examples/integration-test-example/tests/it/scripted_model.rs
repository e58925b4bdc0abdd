//! A scripted model: the test says what the model says, and then looks at what the model was asked.
//!
//! Copy: a [`ScriptedModel`] with one line a turn, a run of the agent, and assertions on the reply (what the user gets),
//! on `requests()` (what the model was told), and on `turns_left()` (whether the agent asked as often as you think).

use integration_test_example::desk;
use llmspell::model::Message;
use llmspell::{Context, Step};
use llmspell_test::ScriptedModel;
use serde_json::json;

use crate::shop::shop;

#[tokio::test]
async fn an_order_is_looked_up_and_refunded() {
    let model = ScriptedModel::new("scripted")
        .calls("order", json!({ "order": "A-17" }))
        .then_calls("refund", json!({ "order": "A-17", "amount": 4_200 })) // the next turn; `calls` would be the same
        .says("You have your 42 € back.");
    let desk = desk(model.clone(), shop()).unwrap();
    let reply = desk.run("I want my money back for A-17.".into(), &Context::new()).await.unwrap();

    assert_eq!(reply.text, "You have your 42 € back.");
    assert_eq!((reply.turns, model.turns_left()), (3, 0));
    // The model received the results of the tools.
    let requests = model.requests();
    assert_eq!(requests[1].last_text(), r#"{"order":"A-17","paid":4200}"#);
    assert_eq!(requests[2].last_text(), r#"{"refunded":4200}"#);
}

#[tokio::test]
async fn request_has_both_tools_and_the_system_prompt() {
    let model = ScriptedModel::new("scripted").says("Hello.");
    desk(model.clone(), shop()).unwrap().run("Hi.".into(), &Context::new()).await.unwrap();

    let asked = &model.requests()[0];
    assert!(matches!(&asked.messages[0], Message::System { text, .. } if text.contains("help desk")));
    let tools: Vec<_> = asked.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(tools, ["order", "refund"]);
    assert_eq!(asked.tools[1].parameters["required"], json!(["order", "amount"]));
}

#[tokio::test]
async fn invalid_calls_get_an_explanation() {
    let model = ScriptedModel::new("scripted")
        .calls("refund", json!({ "order": "A-17", "amount": "all of it" })) // no number
        .calls_raw("refund", r#"{ "order": "A-1"#) // no JSON; the same turn
        .calls("refnd", json!({})) // no such tool
        .says("I cannot.");
    let reply = desk(model.clone(), shop()).unwrap().run("All of it!".into(), &Context::new()).await.unwrap();

    let results: Vec<_> = model.requests()[1].messages.iter().filter_map(answer).collect();
    assert!(results[0].contains("invalid type: string") && results[0].contains(r#""amount""#), "{}", results[0]);
    assert!(results[1].contains("not valid JSON"), "{}", results[1]);
    assert!(results[2].contains("did you mean `refund`?"), "{}", results[2]);
    assert_eq!(reply.text, "I cannot.");
}

fn answer(message: &Message) -> Option<String> {
    match message {
        Message::Tool(answer) if answer.is_error => Some(answer.text.clone()),
        _ => None,
    }
}
