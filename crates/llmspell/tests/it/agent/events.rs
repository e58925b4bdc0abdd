//! The event stream of an agent.

use std::sync::Arc;
use std::sync::mpsc;

use llmspell::agent::{Agent, AgentEvent, AgentEvents};
use llmspell::model::{EventSender, Finish, Model, ModelError, ModelErrorClass, ModelEvent};
use llmspell::tool::DynTool;
use llmspell::{Context, ErrorKind, Limit, Result, Retry, Step, step};
use llmspell_test::ScriptedModel;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::limits::truncating_model;
use super::{tool, unfinished};
use crate::model::ClosureModel;
use crate::probe::{Watch, busy, ms, settled_tasks};
use crate::wait::{completes, until};

/// All events in short form, and the last one in full.
async fn event_summary(mut events: AgentEvents) -> (Vec<String>, Result<AgentEvent>) {
    let mut event_summary = Vec::new();
    while let Some(event) = completes(events.next()).await {
        let text = match event {
            Ok(AgentEvent::Text(text)) => text,
            Ok(AgentEvent::Reasoning(text)) => format!("({text})"),
            Ok(AgentEvent::Restarted) => "restarted".to_owned(),
            Ok(AgentEvent::ToolCalled(call)) => format!("{}?", call.id),
            Ok(AgentEvent::ToolOutput { path, output }) => format!("{path}: {output}"),
            Ok(AgentEvent::ToolRestarted { path }) => format!("{path} restarted"),
            Ok(AgentEvent::ToolAnswered(answer)) => format!("{}!", answer.call_id),
            last => {
                assert!(events.next().await.is_none(), "the last event");
                return (event_summary, last);
            }
        };
        event_summary.push(text);
    }
    panic!("no end: {event_summary:?}")
}

/// A tool that emits `count` numbers, at an interval in milliseconds.
fn emitting_tool(name: &str, count: usize, every: u64) -> DynTool {
    let counts = step(move |_: Value, cx: Context| async move {
        for n in 0..count {
            sleep(ms(every)).await;
            cx.emit(n).await?;
        }
        Ok(json!(count))
    });
    DynTool::from_schema(name, "Counts.", json!({ "type": "object" }), counts)
}

#[tokio::test(start_paused = true)]
async fn events_arrive_as_they_happen() {
    let model = ScriptedModel::new("test").calls("shows", json!({})).calls("quick", json!({})).sends([
        ModelEvent::Reasoning("Hm".into()),
        ModelEvent::Text("So.".into()),
        ModelEvent::Finish(Finish::Stop),
    ]);
    let agent = Agent::builder(model).tools([emitting_tool("shows", 2, 10), tool("quick", 5)]).build().unwrap();
    for cx in [Context::new(), Context::recording()] {
        let (event_summary, last) = event_summary(agent.events("?", &cx)).await;
        if cx.events().is_empty() {
            let expected =
                ["call_0?", "call_1?", "call_1!", "tools.shows: 0", "tools.shows: 1", "call_0!", "(Hm)", "So."];
            assert_eq!(event_summary, expected);
            let AgentEvent::Done(reply) = last.unwrap() else { panic!() };
            assert_eq!((reply.text.as_str(), reply.turns), ("So.", 2));
        } else {
            assert!(unfinished(&last.unwrap_err()).conversation.messages().len() == 1, "the script is over");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn failure_is_the_last_event() {
    let model = ScriptedModel::new("test").fails(ModelError::new(ModelErrorClass::Unauthorized, "no key"));
    let agent = Agent::builder(model).build().unwrap();
    let (event_summary, last) = event_summary(agent.events("?", &Context::new())).await;
    assert_eq!((event_summary.len(), last.unwrap_err().kind()), (0, ErrorKind::Denied));
}

#[tokio::test(start_paused = true)]
async fn restarts_are_reported_and_the_partial_reply_has_no_duplicates() {
    let retry = Retry::immediately().max_attempts(3).after_output();
    let agent = Agent::of(truncating_model().step().retry(retry)).deadline(ms(500)).partial().build().unwrap();
    let (events, last) = event_summary(agent.events("?", &Context::new())).await;
    assert_eq!(events, ["one ", "two ", "restarted", "one ", "two ", "restarted", "one ", "two ", "three "]);
    let AgentEvent::Done(reply) = last.unwrap() else { panic!() };
    assert_eq!(reply.text, "one two three ");

    // By default, no retry follows once output was emitted.
    let agent = Agent::of(truncating_model().step().retry(Retry::immediately())).build().unwrap();
    let (events, last) = event_summary(agent.events("?", &Context::new())).await;
    assert_eq!((events.len(), last.unwrap_err().kind()), (2, ErrorKind::AllFailed));
}

#[tokio::test(start_paused = true)]
async fn output_before_a_fallback_is_voided() {
    let other = ScriptedModel::new("other").says("Sorry.");
    let agent = Agent::of(truncating_model().step().fallback(other.clone().step())).build().unwrap();
    let (events, _) = event_summary(agent.events("?", &Context::new())).await;
    assert_eq!(events, ["one ", "two ", "restarted", "Sorry."]);
    // No restart event if there was no output.
    let down = ScriptedModel::new("down").fails(ModelError::new(ModelErrorClass::Server, "down"));
    let agent = Agent::of(down.step().fallback(other.says("Sorry.").step())).build().unwrap();
    let (events, _) = event_summary(agent.events("?", &Context::new())).await;
    assert_eq!(events, ["Sorry."]);
}

#[tokio::test(start_paused = true)]
async fn restarts_of_tools_are_reported() {
    let flaky = step(|_: Value, cx: Context| async move {
        cx.emit("half").await?;
        if cx.attempt() == 1 { Err(busy()) } else { Ok(Value::Null) }
    });
    let flaky = flaky.retry(Retry::immediately().after_output());
    let flaky = DynTool::from_schema("flaky", "Fails first.", json!({ "type": "object" }), flaky);
    let model = ScriptedModel::new("test").calls("flaky", json!({})).says("So.");
    let agent = Agent::builder(model).tools([flaky]).build().unwrap();
    let (events, _) = event_summary(agent.events("?", &Context::new())).await;
    let half = "tools.flaky: \"half\"";
    assert_eq!(events, ["call_0?", half, "tools.flaky restarted", half, "call_0!", "So."]);
}

#[tokio::test(start_paused = true)]
async fn inner_agent_appears_as_a_tool_and_its_usage_counts_once() {
    let inner = ScriptedModel::new("inner").calls("quick", json!({})).says("Rome it is.");
    let inner = Agent::builder(inner).tools([tool("quick", 5)]).build().unwrap();
    let outer = ScriptedModel::new("outer").calls("helper", json!({ "prompt": "Where?" })).says("Rome.");
    let outer = Agent::builder(outer).tools([inner.into_tool("helper", "Helps.")]).build().unwrap();
    let cx = Context::recording();
    let scope = outer.with_outcome();
    let outcome = scope.run("?".into(), &cx).await.unwrap();
    let usage = outcome.result.as_ref().unwrap().usage;
    assert_eq!(cx.report().usage, usage);
    assert_eq!(outcome.provenance.usage(), usage);

    let inner = ScriptedModel::new("inner").calls("quick", json!({})).says("Rome it is.");
    let inner = Agent::builder(inner).tools([tool("quick", 5)]).build().unwrap();
    let model = ScriptedModel::new("outer").calls("helper", json!({ "prompt": "Where?" })).says("Rome.");
    let outer = Agent::builder(model.clone()).tools([inner.into_tool("helper", "Helps.")]).build().unwrap();
    let (events, last) = event_summary(outer.events("?", &Context::new())).await;
    let AgentEvent::Done(reply) = last.unwrap() else { panic!() };
    assert_eq!((reply.text.as_str(), reply.turns, reply.tool_calls, reply.usage), ("Rome.", 2, 1, usage));
    assert!(events.contains(&r#"tools.helper.model: {"text":"Rome "}"#.to_owned()), "{events:?}");
    assert!(events.iter().any(|event| event.starts_with("tools.helper: {\"tool_called\"")));
    assert_eq!((events[0].as_str(), events.last().unwrap().as_str()), ("call_0?", "Rome."));
    assert_eq!(model.requests()[1].last_text(), "Rome it is.");
}

#[tokio::test(start_paused = true)]
async fn dropped_events_stop_the_agent_its_model_and_its_tools() {
    let watch = Watch::default();
    let seen = watch.clone();
    let slow = move |_: Value, cx: Context| {
        let alive = seen.enter();
        async move {
            for n in 0.. {
                cx.emit(n).await?;
                sleep(ms(1)).await;
            }
            drop(alive);
            Ok(Value::Null)
        }
    };
    // The stream is dropped before the tool, during the tool, or without any poll.
    for count in [0, 1, 2, 3, 10] {
        let model = (0..5).fold(ScriptedModel::new("test"), |model, _| model.calls("slow", json!({})));
        let never_ends = |slow| DynTool::from_schema("slow", "Never ends.", json!({ "type": "object" }), step(slow));
        let agent = Agent::builder(model).tools([never_ends(slow.clone())]).build().unwrap();
        let mut events = agent.events("?", &Context::new());
        for _ in 0..count {
            completes(events.next()).await.unwrap().unwrap();
        }
        drop(events);
        assert_eq!((settled_tasks().await, watch.alive()), (0, 0), "after {count}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_consumer_delays_the_agent_and_loses_nothing() {
    let model = ScriptedModel::new("test").calls("a", json!({})).calls("b", json!({})).says("So.");
    let tools = [emitting_tool("a", 1000, 0), emitting_tool("b", 1000, 0)];
    let agent = Agent::builder(model).tools(tools).build().unwrap();
    let mut events = agent.events("?", &Context::new());
    let (mut shown, mut done) = ([0, 0], false);
    while let Some(event) = completes(events.next()).await {
        sleep(ms(1)).await;
        match event.unwrap() {
            AgentEvent::ToolOutput { path, output } => {
                let which = usize::from(path.as_str() == "tools.b");
                assert_eq!(output, shown[which], "in order");
                shown[which] += 1;
            }
            AgentEvent::Done(reply) => done = reply.text == "So.",
            _ => {}
        }
    }
    assert_eq!((shown, done), ([1000, 1000], true));
}

#[tokio::test(start_paused = true)]
async fn paused_consumer_pauses_only_its_agent() {
    let model = ScriptedModel::new("test").calls("a", json!({})).says("So.");
    let agent = Agent::builder(model).tools([emitting_tool("a", 1000, 0)]).build().unwrap();
    let mut events = agent.events("?", &Context::new());
    for _ in 0..5 {
        completes(events.next()).await.unwrap().unwrap();
    }
    sleep(ms(60_000)).await;
    // The agent is still there, a few events ahead, and continues when its events are read again.
    let (events, last) = event_summary(events).await;
    assert_eq!((events.len(), last.is_ok()), (1000 + 3 - 5, true));
}

#[tokio::test]
async fn runaway_tool_keeps_its_permit_and_emits_nothing_after_the_end() {
    let (release, wait) = mpsc::sync_channel::<()>(1);
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let threads = Limit::new(1);
    let stuck = step(move |_: Value, cx: Context| {
        let wait = wait.clone();
        async move {
            cx.blocking(move |cx| {
                let _ = wait.lock().unwrap().recv();
                // The consumer is gone by now.
                let late = cx.emit("late");
                drop(late);
                Ok(Value::Null)
            })
            .await
        }
    });
    let stuck = DynTool::from_schema("stuck", "Blocks.", json!({ "type": "object" }), stuck.limit(threads.clone()));
    let model = ScriptedModel::new("test").sends([
        ModelEvent::Text("I try.".into()),
        ModelEvent::ToolCall(serde_json::from_value(json!({ "name": "stuck", "id": "x" })).unwrap()),
        ModelEvent::Finish(Finish::ToolCalls),
    ]);
    let agent = Agent::builder(model).tools([stuck]).deadline(ms(50)).partial().build().unwrap();
    let mut events = agent.events("?", &Context::new());
    let mut last = None;
    let all = async {
        while let Some(event) = events.next().await {
            last = Some(event.unwrap());
        }
    };
    timeout(ms(5000), all).await.expect("the caller is free");
    let Some(AgentEvent::Done(reply)) = last else { panic!("{last:?}") };
    assert_eq!(reply.text, "I try.");
    assert_eq!(threads.available(), Some(0), "it still runs");
    release.send(()).unwrap();
    until(async || threads.available() == Some(1)).await;
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn events_are_a_stream_and_serializable() {
    fn is_stream(_: &impl futures_core::Stream<Item = Result<AgentEvent>>) {}
    let agent = Agent::builder(ScriptedModel::new("test").says("So.")).build().unwrap();
    let mut events = agent.events("?", &Context::new());
    is_stream(&events);
    assert_eq!(serde_json::to_value(events.next().await.unwrap().unwrap()).unwrap(), json!({ "text": "So." }));
    let done = serde_json::to_value(events.next().await.unwrap().unwrap()).unwrap();
    assert_eq!(done["done"]["text"], "So.");
}

#[tokio::test]
async fn foreign_chunks_are_not_text_events() {
    // A custom step in place of a model, which emits output of another format.
    let own = step(|_, cx: Context| async move {
        cx.emit(json!({ "progress": 3 })).await?;
        cx.emit("plain").await?;
        Ok(llmspell::model::Reply::new("So."))
    });
    let agent = Agent::of(own).build().unwrap();
    let (events, last) = event_summary(agent.events("?", &Context::new())).await;
    assert_eq!((events.len(), last.is_ok()), (0, true));
}

#[tokio::test(start_paused = true)]
async fn flood_of_text_does_not_starve_the_deadline() {
    let flood = ClosureModel(|events: EventSender| async move {
        loop {
            events.send(ModelEvent::Text("more ".into())).await?;
        }
    });
    let agent = Agent::of(flood.step()).deadline(ms(20)).build().unwrap();
    tokio::time::resume();
    let error = agent.run("?".into(), &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}
