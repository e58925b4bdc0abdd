//! Agents: turns, limits, state after failures, partial and typed answers, events.

mod compositions;
mod events;
mod limits;
mod typed;

use llmspell::agent::{Agent, AgentReply, Conversation, Unfinished};
use llmspell::model::Message;
use llmspell::model::{
    Effort, EventSender, Finish, ModelError, ModelErrorClass, ModelEvent, Options, OutputFormat, Request, ToolChoice,
};
use llmspell::observe::{Cost, Quality, Usage};
use llmspell::tool::DynTool;
use llmspell::{Context, Error, ErrorKind, Step, step};
use llmspell_test::ScriptedModel;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::model::ClosureModel;
use crate::probe::ms;

/// A tool that accepts anything, and returns after a delay in milliseconds.
pub fn tool(name: &str, delay: u64) -> DynTool {
    let echo = step(move |arguments: Value, _| async move {
        sleep(ms(delay)).await;
        Ok(arguments)
    });
    DynTool::from_schema(name, "Says it again.", json!({ "type": "object" }), echo)
}

pub fn unfinished(error: &Error) -> &Unfinished {
    error.downcast_ref().expect("how far it came")
}

/// For each reply with tool calls: the calls, and the results that follow it.
pub fn exchanges(conversation: &Conversation) -> Vec<(Vec<String>, Vec<String>)> {
    let mut exchanges: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for message in conversation.messages() {
        match message {
            Message::Assistant { tool_calls, .. } if !tool_calls.is_empty() => {
                exchanges.push((tool_calls.iter().map(|call| call.id.clone()).collect(), Vec::new()));
            }
            Message::Tool(answer) => exchanges.last_mut().expect("a call").1.push(answer.call_id.clone()),
            _ => {}
        }
    }
    exchanges
}

/// Asserts that every call has exactly one result, in the order of the calls, and that ids are unique.
pub fn assert_answered(conversation: &Conversation) {
    let mut all = Vec::new();
    for (calls, answers) in exchanges(conversation) {
        assert_eq!(calls, answers);
        all.extend(calls);
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "two calls have one name");
}

#[tokio::test]
async fn agent_runs_tool_calls_until_the_model_answers() {
    let model = ScriptedModel::new("m-1").calls("a", json!({ "n": 1 })).calls("b", json!({})).calls("a", json!({}));
    // The scripted answer ends the turn with three calls; then one more call, and the answer.
    let model = model.sends([
        ModelEvent::Text("Let me look.".into()),
        ModelEvent::ToolCall(serde_json::from_value(json!({ "index": 0, "id": "call_0", "name": "b" })).unwrap()),
        ModelEvent::Finish(Finish::Stop),
    ]);
    let model = model.says("All is well.");
    let agent = Agent::builder(model.clone()).system("Be kind.").tools([tool("a", 0), tool("b", 0)]).build().unwrap();
    let reply = agent.run("How is it?".into(), &Context::new()).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.turns, reply.tool_calls), ("All is well.", 3, 4));
    assert_eq!((reply.finish, reply.model.as_deref()), (Some(Finish::Stop), Some("m-1")));
    assert_answered(&reply.conversation);

    // The system prompt precedes the conversation and is not part of it; the tools are in every request.
    assert!(!reply.conversation.messages().iter().any(|message| matches!(message, Message::System { .. })));
    assert_eq!(reply.conversation.messages().len(), 1 + 4 + 2 + 1);
    for request in model.requests() {
        assert_eq!(request.messages[0], Message::system("Be kind."));
        assert_eq!(request.tools.len(), 2);
    }
    let last = &model.requests()[2];
    assert_eq!(last.messages[1..], reply.conversation.messages()[..7]);
    assert_eq!(last.messages[6].text(), "Let me look.", "words beside calls are kept");
    let names: Vec<_> = agent.tools().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn conversation_continues_with_another_agent() {
    let first = Agent::builder(ScriptedModel::new("a").says("Paris.")).build().unwrap();
    let mut talk = first.run("The capital of France?".into(), &Context::new()).await.unwrap().conversation;
    talk.user("And of Italy?");
    let stored = serde_json::to_string(&talk).unwrap();
    let model = ScriptedModel::new("b").says("Rome.");
    let second = Agent::builder(model.clone()).build().unwrap();
    let reply = second.run(serde_json::from_str(&stored).unwrap(), &Context::new()).await.unwrap();
    assert_eq!(reply.conversation.messages().len(), 4);
    assert_eq!(model.requests()[0].messages.len(), 3);
}

#[tokio::test]
async fn invalid_conversation_is_rejected_before_any_request() {
    let model = ScriptedModel::new("test").says("Never.");
    let agent = Agent::builder(model.clone()).system("Be kind.").build().unwrap();
    let call: Message = serde_json::from_value(json!({
        "role": "assistant", "tool_calls": [{ "id": "x", "name": "t", "arguments": "{}" }],
    }))
    .unwrap();
    let answer: Message = serde_json::from_value(json!({
        "role": "tool", "call_id": "x", "name": "t", "text": "…",
    }))
    .unwrap();
    let user = || Message::user("?");
    for (messages, complaint) in [
        (vec![], "the conversation is empty"),
        (vec![Message::system("Be kind.")], "the conversation is empty"),
        (vec![user(), Message::assistant("Hello.")], "the last message of the conversation is an answer of the model"),
        (vec![user(), call.clone()], "the tool call `x` has no result"),
        (vec![user(), call.clone(), user()], "the tool call `x` has no result"),
        (vec![user(), call.clone(), user(), answer.clone()], "the tool call `x` has no result"),
        (vec![user(), answer.clone()], "result of the unknown tool call `x`"),
        (vec![user(), call.clone(), answer.clone(), answer.clone(), user()], "result of the unknown tool call `x`"),
    ] {
        let error = agent.run(messages.into(), &Context::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Invalid, complaint));
        assert!(error.hint().is_some());
    }
    assert_eq!(model.requests().len(), 0);
    agent.run(vec![user(), call, answer].into(), &Context::new()).await.unwrap();
}

#[tokio::test]
async fn call_ids_are_unique_in_the_whole_conversation() {
    let call = |id: &str, index| {
        let delta = json!({ "index": index, "id": id, "name": "t", "arguments": "{}" });
        ModelEvent::ToolCall(serde_json::from_value(delta).unwrap())
    };
    let turn = |ids: [&str; 3]| {
        let calls: Vec<_> = ids.iter().enumerate().map(|(index, id)| call(id, index)).collect();
        calls.into_iter().chain([ModelEvent::Finish(Finish::ToolCalls)])
    };
    let model = ScriptedModel::new("test").sends(turn(["x", "x", ""])).sends(turn(["x", "call_2", "y"])).says("Done.");
    let agent = Agent::builder(model).tools([tool("t", 0)]).build().unwrap();
    let reply = agent.run("Go.".into(), &Context::new()).await.unwrap();
    assert_answered(&reply.conversation);
    assert_eq!(reply.tool_calls, 6);
    // Unique also against ids of an earlier run.
    let mut talk = reply.conversation;
    talk.user("Again.");
    let model = ScriptedModel::new("test").sends(turn(["x", "y", "z"])).says("Done.");
    let agent = Agent::builder(model).tools([tool("t", 0)]).build().unwrap();
    assert_answered(&agent.run(talk, &Context::new()).await.unwrap().conversation);
}

#[tokio::test]
async fn incomplete_answer_is_marked_partial() {
    let cases = [
        (vec![ModelEvent::Text("Once upon".into()), ModelEvent::Finish(Finish::Length)], "cut off"),
        (vec![ModelEvent::Text("I will".into()), ModelEvent::Finish(Finish::ContentFilter)], "withheld"),
        (vec![ModelEvent::Finish(Finish::Stop)], "answer is empty"),
        (vec![ModelEvent::Text("So.".into()), ModelEvent::Finish(Finish::ToolCalls)], "made none"),
    ];
    for (events, why) in cases {
        let agent = Agent::builder(ScriptedModel::new("test").sends(events)).build().unwrap();
        let outcome = agent.with_outcome().run("?".into(), &Context::new()).await.unwrap();
        assert!(outcome.is_ok());
        assert_eq!(outcome.quality, Quality::Partial);
        assert!(outcome.causes[0].message().contains(why), "{}", outcome.causes[0]);
    }
    let whole = Agent::builder(ScriptedModel::new("test").says("So.")).build().unwrap();
    assert_eq!(whole.with_outcome().run("?".into(), &Context::new()).await.unwrap().quality, Quality::Full);
}

#[tokio::test]
async fn failure_keeps_the_conversation_and_usage() {
    let down = ModelError::new(ModelErrorClass::Server, "internal error").with_status(500).with_request_id("req-1");
    let model = ScriptedModel::new("test").calls("t", json!({})).fails(down);
    let agent = Agent::builder(model).tools([tool("t", 0)]).build().unwrap().named("helper");
    let outcome = agent.with_outcome().run("Go on.".into(), &Context::new()).await.unwrap();
    let error = outcome.result.as_ref().unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Failed, true));
    assert_eq!(error.path().unwrap().as_str(), "helper.model");
    let so_far = unfinished(error);
    assert_eq!((so_far.turns, so_far.tool_calls, so_far.conversation.messages().len()), (2, 1, 3));
    assert_eq!(so_far.usage, outcome.provenance.usage());
    assert!(so_far.usage.tokens() > 0);
    assert_answered(&so_far.conversation);
    // The original source is still in the chain, and the full error text contains all of it.
    assert_eq!(error.downcast_ref::<ModelError>().unwrap().request_id.as_deref(), Some("req-1"));
    assert!(format!("{error:#}").contains("in turn 2, after 1 tool call"), "{error:#}");

    // The conversation can be continued.
    let other = Agent::builder(ScriptedModel::new("other").says("There.")).build().unwrap();
    let reply = other.run(so_far.conversation.clone(), &Context::new()).await.unwrap();
    assert_eq!(reply.text, "There.");
}

#[tokio::test]
async fn panic_of_the_model_keeps_the_conversation() {
    let model = ScriptedModel::new("test").calls("t", json!({}));
    let scripted = model.clone().otherwise(|_| panic!("no such answer"));
    let agent = Agent::builder(scripted).tools([tool("t", 0)]).build().unwrap();
    let error = agent.run("?".into(), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Panicked, "panicked: no such answer"));
    assert_eq!(unfinished(&error).conversation.messages().len(), 3);
}

#[tokio::test]
async fn options_are_in_every_request() {
    let options = Options::new().temperature(0.5).seed(3).effort(Effort::Low).stop("END").extra("tier", "flex");
    let model = ScriptedModel::new("test").calls("t", json!({})).says("Yes.");
    let agent = Agent::builder(model.clone()).options(options.clone()).tools([tool("t", 0)]).build().unwrap();
    agent.run("?".into(), &Context::new()).await.unwrap();
    assert!(model.requests().iter().all(|request| *request.options == options));
}

#[test]
fn build_reports_all_problems_at_once() {
    let model = || ScriptedModel::new("test");
    let builder = Agent::builder(model())
        .tools([tool("t", 0), tool("t", 0), tool("no spaces", 0), tool(&"x".repeat(65), 0)])
        .options(Options::new().temperature(-1.0).tool_choice(ToolChoice::Tool("u".into())))
        .max_turns(0)
        .tool_limit(0)
        .max_tokens(0)
        .max_cost(f64::NAN)
        .deadline(ms(0));
    let error = builder.build().err().unwrap();
    assert_eq!((error.kind(), error.causes().len()), (ErrorKind::Invalid, 10), "{error:#}");
    let one = |builder: llmspell::agent::AgentBuilder| {
        let error = builder.build().err().unwrap();
        assert_eq!((error.kind(), error.causes().len()), (ErrorKind::Invalid, 0));
        error.message().to_owned()
    };
    let required = Options::new().tool_choice(ToolChoice::Required);
    assert_eq!(
        one(Agent::builder(model()).options(required.clone())),
        "`tool_choice` requires a tool, and the agent has none"
    );
    assert!(one(Agent::builder(model()).tools([tool("t", 0)]).options(required)).contains("never allows an answer"));
    let output = OutputFormat::schema("x", json!(true));
    one(Agent::builder(model()).options(Options::new().output(output)));
    one(Agent::builder(model()).max_cost(-1.0));
}

#[tokio::test]
async fn usage_covers_all_turns_attempts_and_tools() {
    let paid = step(|_: Value, cx: Context| async move {
        cx.record_usage(Usage::new(1000, 0).with_cost(0.5));
        Ok(Value::Null)
    });
    let paid = DynTool::from_schema("paid", "Costs something.", json!({ "type": "object" }), paid);
    let usage = |n| ModelEvent::Usage(Usage::new(n, 0));
    let call = || ModelEvent::ToolCall(serde_json::from_value(json!({ "name": "paid", "id": "x" })).unwrap());
    let model = ScriptedModel::new("test")
        .sends([usage(1)]) // truncated, and paid for
        .sends([call(), usage(10), ModelEvent::Finish(Finish::ToolCalls)])
        .sends([ModelEvent::Text("Done.".into()), usage(100), ModelEvent::Finish(Finish::Stop)]);
    use llmspell::{Model, Retry};
    let agent = Agent::of(model.step().retry(Retry::immediately())).tools([paid]).build().unwrap();
    let cx = Context::recording();
    let outcome = agent.with_outcome().run("?".into(), &cx).await.unwrap();
    let reply: AgentReply = outcome.result.unwrap();
    assert_eq!((reply.usage.tokens(), reply.usage.cost), (1111, Cost::new(0.5)));
    assert_eq!(outcome.provenance.usage(), reply.usage);
    assert_eq!((outcome.provenance.retries, reply.turns), (1, 2));
    assert_eq!(cx.report().usage.tokens(), 1111);
}

#[tokio::test(start_paused = true)]
async fn dropping_an_agent_cancels_the_request_and_the_tools() {
    use crate::probe::{Watch, settled_tasks};
    let (asked, called) = (Watch::default(), Watch::default());
    let (seen, seen_tool) = (asked.clone(), called.clone());
    let model = ClosureModel(move |events: EventSender| {
        let seen = seen.clone();
        async move {
            let number = seen.begun();
            let _alive = seen.enter();
            if number > 0 {
                std::future::pending::<()>().await;
            }
            let call = json!({ "name": "t", "id": "x", "arguments": "{}" });
            events.send(ModelEvent::ToolCall(serde_json::from_value(call).unwrap())).await?;
            events.send(ModelEvent::Finish(Finish::ToolCalls)).await
        }
    });
    let slow = step(move |_: Value, _| {
        let alive = seen_tool.enter();
        async move {
            sleep(ms(1000)).await;
            alive.complete();
            Ok(Value::Null)
        }
    });
    let slow = DynTool::from_schema("t", "Takes a second.", json!({ "type": "object" }), slow);
    let agent = Agent::builder(model).tools([slow]).build().unwrap();
    let cx = Context::new();
    assert!(tokio::time::timeout(ms(500), agent.run("?".into(), &cx)).await.is_err());
    assert_eq!((settled_tasks().await, asked.alive()), (0, 0));
    assert_eq!((called.begun(), called.alive(), called.completed()), (1, 0, 0), "in the tool");
    assert!(tokio::time::timeout(ms(500), agent.run("?".into(), &cx)).await.is_err());
    assert_eq!((settled_tasks().await, asked.begun(), asked.alive()), (0, 2, 0), "in the second request");
}

#[tokio::test]
async fn kept_request_does_not_change() {
    let model = ScriptedModel::new("test").calls("t", json!({})).says("Done.");
    let agent = Agent::builder(model.clone()).tools([tool("t", 0)]).build().unwrap();
    agent.run("?".into(), &Context::new()).await.unwrap();
    let lengths: Vec<_> = model.requests().iter().map(|request: &Request| request.messages.len()).collect();
    assert_eq!(lengths, [1, 3]);
}
