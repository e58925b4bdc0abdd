//! Faults: what goes wrong in the world, on purpose.
//!
//! Copy: a turn that `fails` with a [`ModelError`] of its class, one that `sends` half a reply, one that `hangs`; a step
//! that panics in place of a tool's other side; and for crowds a [`SimulatedModel`] with shares of each, whose seed makes
//! its failures the same in every run. `cassette.rs` has a server that fails.

use std::time::Duration;

use integration_test_example::{Lookup, desk, patient};
use llmspell::model::{ModelError, ModelErrorClass, ModelEvent, Request};
use llmspell::{Context, ErrorKind, Step, step};
use llmspell_test::{ScriptedModel, SimulatedModel};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::shop::shop;

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_is_given_it() {
    let later = ModelError::new(ModelErrorClass::RateLimited, "slow down").with_status(429);
    let model = ScriptedModel::new("scripted").fails(later.with_retry_after(Duration::from_secs(7))).says("Hello.");
    let began = Instant::now();
    let outcome = desk(model, shop()).unwrap().with_outcome().run("Hi.".into(), &Context::new()).await.unwrap();

    assert_eq!(outcome.result.unwrap().text, "Hello.");
    assert!(began.elapsed() >= Duration::from_secs(7), "{:?}", began.elapsed());
    assert_eq!((outcome.provenance.retries, outcome.causes[0].kind()), (1, ErrorKind::Overloaded));
}

#[tokio::test(start_paused = true)]
async fn half_a_reply_is_no_reply() {
    let half = [ModelEvent::Text("You have your ".into())]; // and no finish
    let model = ScriptedModel::new("scripted").sends(half).says("You have your money back.");
    let reply = desk(model, shop()).unwrap().run("And?".into(), &Context::new()).await.unwrap();
    assert_eq!(reply.text, "You have your money back.");
}

#[tokio::test]
async fn exhausted_quota_is_not_retried() {
    let model = ScriptedModel::new("scripted").fails(ModelError::new(ModelErrorClass::QuotaExhausted, "no credit"));
    let error = desk(model.clone(), shop()).unwrap().run("Hi.".into(), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), model.requests().len()), (ErrorKind::Denied, 1));
}

#[tokio::test]
async fn a_tool_that_panics_is_an_answer_to_its_call_and_to_no_other() {
    let mut shop = shop();
    let orders = step(|look: Lookup, _| async move {
        assert!(look.order != "A-13", "unlucky");
        Ok(json!(look.order))
    });
    shop.orders = orders.boxed();
    let model = ScriptedModel::new("scripted")
        .calls("order", json!({ "order": "A-12" }))
        .calls("order", json!({ "order": "A-13" }))
        .says("I have found one of them.");
    let reply = desk(model.clone(), shop).unwrap().run("A-12 and A-13?".into(), &Context::new()).await.unwrap();

    let asked = &model.requests()[1].messages;
    let results: Vec<_> = asked.iter().rev().take(2).map(|message| message.text()).collect();
    assert_eq!(results[1], "A-12");
    assert!(results[0].contains("panicked: unlucky"), "{}", results[0]);
    assert_eq!(reply.tool_calls, 2);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_failures_leaves_one_outcome_for_each_question() {
    let model = SimulatedModel::new("simulated")
        .first_token(Duration::from_millis(300), 0.4)
        .rate_limited(0.2, Duration::from_secs(1))
        .failing(0.1)
        .truncated(0.1)
        .hanging(0.05)
        .seed(17);
    let cx = Context::new();
    let questions = (0..200).map(|number| Request::new(format!("Question {number}?")));
    let mut answers = patient(model.clone()).stream(questions, &cx).limit(20).ordered();
    let (mut seen, mut answered) = (Vec::new(), 0);
    while let Some(outcome) = answers.next().await {
        seen.push(outcome.index);
        answered += u32::from(outcome.is_ok());
    }
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
    assert!(answered > 150, "{answered}"); // three attempts, each fails with 0.45: one in eleven is lost, 18 or so
    assert!(model.requests() <= 3 * 200);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_gone_when_the_agent_is() {
    let mut shop = shop();
    shop.orders = step(|_: Lookup, _| std::future::pending::<llmspell::Result<Value>>()).boxed();
    let model = ScriptedModel::new("scripted").calls("order", json!({ "order": "A-17" }));
    let desk = desk(model, shop).unwrap();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let cx = Context::recording();
    // The caller gives up after a second.
    let asked = tokio::time::timeout(Duration::from_secs(1), desk.run("Well?".into(), &cx)).await;
    assert!(asked.is_err());
    tokio::task::yield_now().await;
    assert_eq!((tasks(), cx.report().in_progress), (before, 0));
}
