//! Limits of turns, tokens, cost and time, and the partial answer when one of them is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use llmspell::agent::Agent;
use llmspell::model::{EventSender, Finish, Model, ModelEvent, Prices};
use llmspell::observe::{Cost, Quality, Usage};
use llmspell::{Budget, Context, ErrorKind, Retry, Step};
use llmspell_test::{ScriptedModel, SimulatedModel};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{assert_answered, tool, unfinished};
use crate::model::ClosureModel;
use crate::probe::ms;
use crate::wait::completes;

/// Calls its tool in every turn.
fn endless_tool_caller() -> ScriptedModel {
    (0..50).fold(ScriptedModel::new("tireless"), |model, n| {
        let call = json!({ "name": "t", "id": format!("c{n}"), "arguments": "{}" });
        model.sends([
            ModelEvent::Text(format!("Look {n}.")),
            ModelEvent::ToolCall(serde_json::from_value(call).unwrap()),
            ModelEvent::Usage(Usage::new(90, 10)),
            ModelEvent::Finish(Finish::ToolCalls),
        ])
    })
}

#[tokio::test]
async fn turns_tokens_and_cost_are_limited() {
    let priced = |model: ScriptedModel| model.step().prices(Prices::per_million(1e6, 1e6));
    for (number, message) in
        [(0, "no answer after 3 turns"), (1, "300 tokens used of 250"), (2, "a cost of 300 of 299.5")]
    {
        let model = endless_tool_caller();
        let builder = Agent::of(priced(model.clone())).tools([tool("t", 0)]);
        let agent = match number {
            0 => builder.max_turns(3),
            1 => builder.max_tokens(250),
            _ => builder.max_cost(299.5),
        };
        let error = agent.build().unwrap().run("?".into(), &Context::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, message));
        assert!(error.hint().unwrap().contains("partial"));
        let so_far = unfinished(&error);
        assert_eq!((model.requests().len(), so_far.turns, so_far.tool_calls), (3, 3, 3));
        assert_eq!((so_far.usage.tokens(), so_far.usage.cost), (300, Cost::new(300.0)));
        assert_answered(&so_far.conversation);
    }
    let agent = Agent::builder(endless_tool_caller()).tools([tool("t", 0)]).build().unwrap();
    let error = agent.run("?".into(), &Context::new()).await.unwrap_err();
    assert_eq!(error.message(), "no answer after 20 turns");
}

#[tokio::test]
async fn partial_answer_is_the_last_text_of_this_run() {
    let agent = Agent::builder(endless_tool_caller()).tools([tool("t", 0)]).max_turns(3).partial().build().unwrap();
    let outcome = agent.clone().with_outcome().run("?".into(), &Context::new()).await.unwrap();
    let reply = outcome.result.unwrap();
    assert_eq!((reply.text.as_str(), reply.finish, reply.turns), ("Look 2.", None, 3));
    assert_eq!((outcome.quality, outcome.causes[0].kind()), (Quality::Partial, ErrorKind::Rejected));
    assert_answered(&reply.conversation);

    // Not text from before the run: the conversation continues after tool results, not after a user message.
    let silent = Agent::of(ScriptedModel::new("silent").hangs().step().timeout(ms(20))).partial().build().unwrap();
    let error = silent.run(reply.conversation, &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

/// Emits a word every 100 ms, for ever.
fn endless_talker() -> impl Model {
    ClosureModel(|events: EventSender| async move {
        for n in 0.. {
            sleep(ms(100)).await;
            events.send(ModelEvent::Text(format!("{n} "))).await?;
        }
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn deadline_covers_all_turns_and_drops_running_work() {
    let model = endless_tool_caller().delay(ms(300));
    let agent = Agent::builder(model).tools([tool("t", 300)]).deadline(ms(1000)).build().unwrap().named("agent");
    let started = Instant::now();
    let error = agent.run("?".into(), &Context::new()).await.unwrap_err();
    assert_eq!(started.elapsed().as_millis(), 1000);
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Timeout, "agent: timed out after 1 s"));
    let so_far = unfinished(&error);
    // The second call was made, and dropped at the deadline.
    assert_eq!((so_far.turns, so_far.tool_calls), (2, 1));
    assert_answered(&so_far.conversation);
    assert!(so_far.conversation.messages().last().unwrap().text().starts_with("cancelled"));
}

#[tokio::test(start_paused = true)]
async fn partial_answer_at_the_deadline_is_the_text_so_far() {
    let own = Agent::builder(endless_talker()).deadline(ms(450)).partial().build().unwrap().boxed();
    let partial = || Agent::builder(endless_talker()).partial().build().unwrap();
    let outer = partial().deadline(ms(450)).boxed();
    let far =
        partial().named("a").retry(Retry::immediately()).idle_timeout(ms(5000), ms(5000)).deadline(ms(450)).boxed();
    let model = Agent::of(endless_talker().step().timeout(ms(450))).partial().build().unwrap().boxed();
    let retried = endless_talker().step().timeout(ms(450)).retry(Retry::immediately().max_attempts(2));
    let retried = Agent::of(retried).partial().build().unwrap().boxed();
    for agent in [own, outer, far, model, retried] {
        let outcome = agent.with_outcome().run("Count.".into(), &Context::new()).await.unwrap();
        let reply = outcome.result.unwrap();
        assert_eq!((reply.text.as_str(), outcome.quality), ("0 1 2 3 ", Quality::Partial));
        assert_eq!(reply.conversation.messages().last().unwrap().text(), "0 1 2 3 ");
        assert_eq!((reply.finish, reply.turns), (None, 1));
    }
    // Unless there is no text.
    let silent = Agent::builder(endless_talker()).deadline(ms(50)).partial().build().unwrap();
    let error = silent.run("Count.".into(), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), unfinished(&error).turns), (ErrorKind::Timeout, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outer_deadline_never_preempts_the_partial_answer() {
    let quick = ClosureModel(|events: EventSender| async move {
        events.send(ModelEvent::Text("So far.".into())).await?;
        std::future::pending().await
    });
    let agent = Agent::builder(quick).partial().build().unwrap().deadline(ms(20));
    let texts: Vec<_> = agent.stream((0..400).map(|_| "?".into()), &Context::new()).limit(50).collect().await;
    for outcome in texts {
        assert_eq!(outcome.result.unwrap().text, "So far.");
    }
}

#[tokio::test(start_paused = true)]
async fn expired_or_cancelled_context_starts_no_request() {
    let model = ScriptedModel::new("test").says("Never.");
    let agent = Agent::builder(model.clone()).partial().build().unwrap();
    let cx = Context::new().with_deadline(Instant::now());
    let error = agent.run("?".into(), &cx).await.unwrap_err();
    assert_eq!((error.kind(), unfinished(&error).turns), (ErrorKind::Timeout, 0));
    let (cx, canceller) = Context::new().cancellable();
    canceller.cancel();
    let error = agent.run("?".into(), &cx).await.unwrap_err();
    assert_eq!((error.kind(), unfinished(&error).turns), (ErrorKind::Cancelled, 0));
    assert_eq!(model.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn cancelled_agent_stops_at_once_and_reports_its_state() {
    for after in [150, 450] {
        let model = ScriptedModel::new("test").calls("t", json!({})).says("Never.").delay(ms(200));
        let agent = Agent::builder(model).tools([tool("t", 1000), tool("u", 0)]).partial().build().unwrap();
        let (cx, canceller) = Context::new().cancellable();
        let started = Instant::now();
        let (result, ()) = tokio::join!(agent.run("?".into(), &cx), async {
            sleep(ms(after)).await;
            canceller.cancel();
        });
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Cancelled, "the agent was cancelled"));
        assert!(started.elapsed() < ms(after + 5));
        assert_answered(&unfinished(&error).conversation);
        assert_eq!(unfinished(&error).conversation.messages().len(), if after == 150 { 1 } else { 3 });
    }
}

#[tokio::test]
async fn budget_around_the_model_ends_the_run() {
    for partial in [false, true] {
        let budget = Budget::tokens(250).estimate(Usage::new(100, 0));
        let builder = Agent::of(endless_tool_caller().step().budget(budget.clone())).tools([tool("t", 0)]);
        let agent = if partial { builder.partial() } else { builder }.build().unwrap();
        let outcome = agent.with_outcome().run("?".into(), &Context::new()).await.unwrap();
        match outcome.result {
            Ok(reply) => {
                assert!(partial);
                assert_eq!((reply.text.as_str(), reply.turns, reply.usage.tokens()), ("Look 1.", 3, 200));
            }
            Err(error) => {
                assert!(!partial);
                assert_eq!(error.kind(), ErrorKind::Rejected);
                assert_answered(&unfinished(&error).conversation);
            }
        }
        assert_eq!(budget.spent().tokens(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_model_leaves_its_text_so_far() {
    let hangs = SimulatedModel::new("sim").tokens_per_second(100.0).hanging(1.0);
    let agent = Agent::of(hangs.step().idle_timeout(ms(500), ms(500))).partial().build().unwrap();
    let outcome = completes(agent.with_outcome().run("?".into(), &Context::new())).await.unwrap();
    assert_eq!(outcome.causes[0].kind(), ErrorKind::Timeout);
    assert_eq!(outcome.result.unwrap().text, "1 2 3 4 5 6 7 8 9 10 ");
}

/// Fails after two words, twice; then emits three words, and hangs.
pub fn truncating_model() -> impl Model {
    let attempts = Arc::new(AtomicU32::new(0));
    ClosureModel(move |events: EventSender| {
        let attempt = attempts.fetch_add(1, Ordering::SeqCst);
        async move {
            for word in ["one ", "two ", "three "] {
                sleep(ms(10)).await;
                events.send(ModelEvent::Text(word.into())).await?;
                if attempt < 2 && word == "two " {
                    return Ok(());
                }
            }
            std::future::pending().await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn partial_reply_excludes_failed_attempts() {
    let retry = || Retry::immediately().max_attempts(3).after_output();
    let plain = truncating_model().step().retry(retry()).boxed();
    // The attempts of the inner retry start again with each attempt of the outer one.
    let nested =
        truncating_model().step().retry(Retry::immediately().when(|_| false)).named("x").retry(retry()).boxed();
    let served = truncating_model().step();
    let served = Arc::new(served);
    let served = served.clone().fallback(served.clone()).fallback(served).boxed();
    for (round, step) in [plain, nested, served].into_iter().enumerate() {
        let agent = Agent::of(step).deadline(ms(500)).partial().build().unwrap();
        let reply = completes(agent.run("?".into(), &Context::new())).await.unwrap();
        assert_eq!(reply.text, "one two three ", "round {round}");
    }
}
