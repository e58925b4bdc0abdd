//! A property: whatever the tools do, in whatever order they end, the conversation stays whole.
//!
//! Copy: a strategy for what can happen, one run on a paused clock for each case, and a statement about what must hold
//! in all of them. When it does not, proptest looks for the smallest case and keeps it in `proptest-regressions/`.

use std::time::Duration;

use integration_test_example::{Lookup, Shop, desk};
use llmspell::agent::{Conversation, Unfinished};
use llmspell::model::Message;
use llmspell::{Context, Error, Step, step};
use llmspell_test::ScriptedModel;
use proptest::prelude::*;
use serde_json::json;
use tokio::time::sleep;

use crate::shop::shop;

/// The outcome of a tool call.
#[derive(Clone, Debug)]
enum Fate {
    Answers { ms: u64 },
    Fails { ms: u64 },
    Panics { ms: u64 },
    Hangs,
    IsNotJson,
    IsNoTool,
}

fn fate() -> impl Strategy<Value = Fate> {
    let ms = 0..8_000_u64;
    prop_oneof![
        4 => ms.clone().prop_map(|ms| Fate::Answers { ms }),
        2 => ms.clone().prop_map(|ms| Fate::Fails { ms }),
        1 => ms.prop_map(|ms| Fate::Panics { ms }),
        1 => Just(Fate::Hangs),
        1 => Just(Fate::IsNotJson),
        1 => Just(Fate::IsNoTool),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_call_has_one_answer(
        turns in prop::collection::vec(prop::collection::vec(fate(), 1..5), 0..4),
        patience in prop::option::of(0..60_000_u64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let mut conversation = Conversation::new();
        for (number, fates) in turns.iter().enumerate() {
            conversation.user(format!("Question {number}?"));
            let agent = desk(script(fates), fated()).unwrap();
            let cx = Context::new();
            let run = async {
                match patience {
                    Some(ms) => agent.deadline(Duration::from_millis(ms)).run(conversation.clone(), &cx).await,
                    None => agent.run(conversation.clone(), &cx).await,
                }
            };
            match runtime.block_on(run) {
                Ok(reply) => {
                    prop_assert_eq!(reply.tool_calls as usize, fates.len());
                    conversation = reply.conversation;
                }
                // The same agent goes on from where it was stopped; if nothing was said yet, from the question.
                Err(error) => if let Some(unfinished) = error.downcast_ref::<Unfinished>() {
                    conversation = unfinished.conversation.clone();
                }
            }
            prop_assert!(is_whole(&conversation), "{conversation:#?}");
        }
        runtime.block_on(tokio::task::yield_now()); // what was dropped is gone at the next turn of the runtime
        prop_assert_eq!(runtime.metrics().num_alive_tasks(), 0);
    }
}

/// The calls of one turn, and what the model says to their answers.
fn script(fates: &[Fate]) -> ScriptedModel {
    let model = fates.iter().fold(ScriptedModel::new("scripted"), |model, fate| match fate {
        Fate::Answers { ms } => model.calls("order", json!({ "order": format!("answers {ms}") })),
        Fate::Fails { ms } => model.calls("order", json!({ "order": format!("fails {ms}") })),
        Fate::Panics { ms } => model.calls("order", json!({ "order": format!("panics {ms}") })),
        Fate::Hangs => model.calls("order", json!({ "order": "hangs 0" })),
        Fate::IsNotJson => model.calls_raw("order", "{ order: A-17 }"),
        Fate::IsNoTool => model.calls("delivery", json!({})),
    });
    model.says("So it is.")
}

/// A shop that does what the order says.
fn fated() -> Shop {
    let orders = step(|look: Lookup, _| async move {
        let (what, ms) = look.order.split_once(' ').unwrap_or_default();
        sleep(Duration::from_millis(ms.parse()?)).await;
        match what {
            "answers" => Ok(json!("found")),
            "fails" => Err(Error::failed("the shop is closed").transient()),
            "panics" => panic!("the shop is on fire"),
            _ => std::future::pending().await,
        }
    });
    Shop { orders: orders.boxed(), ..shop() }
}

/// Whether each call is answered once, right behind the message that makes it, in the order of the calls.
fn is_whole(conversation: &Conversation) -> bool {
    let mut open: Vec<&str> = Vec::new();
    conversation.messages().iter().all(|message| match message {
        Message::Tool(answer) => !open.is_empty() && open.remove(0) == answer.call_id,
        other => {
            let nothing_is_open = open.is_empty();
            open = other.tool_calls().iter().map(|call| call.id.as_str()).collect();
            nothing_is_open
        }
    }) && open.is_empty()
}
