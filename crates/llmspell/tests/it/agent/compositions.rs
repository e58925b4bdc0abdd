//! Agents are steps: in races, streams and pipelines, behind retries, as fallback and as tool of each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use llmspell::agent::{Agent, AgentEvent, Conversation};
use llmspell::model::{EventSender, Finish, Model, ModelError, ModelErrorClass, ModelEvent};
use llmspell::observe::{Quality, Usage};
use llmspell::step::BoxStep;
use llmspell::tool::DynTool;
use llmspell::{Budget, Context, ErrorKind, Rate, Retry, Step, pipeline, race, step};
use llmspell_test::{ScriptedModel, SimulatedModel};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{tool, unfinished};
use crate::model::ClosureModel;
use crate::probe::{ms, settled_tasks};
use crate::wait::completes;

fn answering_agent(text: &str, delay: u64) -> Agent {
    Agent::builder(ScriptedModel::new("test").says(text).delay(ms(delay))).build().unwrap()
}

/// Calls a tool after a user message, and answers with that message after the tool's result.
fn tool_calling_agent() -> Agent {
    let model = ToolCallingModel;
    Agent::builder(model).tools([tool("t", 10)]).build().unwrap()
}

/// A model without a script, for any number of concurrent conversations.
struct ToolCallingModel;

impl Model for ToolCallingModel {
    fn name(&self) -> &str {
        "diligent"
    }

    fn stream(&self, request: llmspell::model::Request, _: &Context) -> llmspell::model::ModelStream {
        llmspell::model::ModelStream::produce(async move |events: EventSender| {
            let is_asked = matches!(request.messages.last(), Some(llmspell::model::Message::User { .. }));
            if is_asked {
                let call = json!({ "name": "t", "id": "x", "arguments": "{}" });
                events.send(ModelEvent::ToolCall(serde_json::from_value(call)?)).await?;
                events.send(ModelEvent::Usage(Usage::new(10, 5))).await?;
                return events.send(ModelEvent::Finish(Finish::ToolCalls)).await;
            }
            events.send(ModelEvent::Text(request.messages[0].text())).await?;
            events.send(ModelEvent::Usage(Usage::new(20, 5))).await?;
            events.send(ModelEvent::Finish(Finish::Stop)).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn agents_race_for_the_first_output() {
    let agents = race((answering_agent("Slow but sure.", 500), answering_agent("Quick.", 20))).first_output();
    let (cx, mut chunks) = Context::new().with_chunks(64);
    let started = Instant::now();
    assert_eq!(agents.run("?".into(), &cx).await.unwrap().text, "Quick.");
    assert_eq!(started.elapsed().as_millis(), 20);
    drop(cx);
    assert_eq!(chunks.next().await.map(|chunk| chunk.path.as_str().to_owned()), Some("model".to_owned()));
    assert!(chunks.next().await.is_none(), "of the loser nothing is seen");
}

#[tokio::test(start_paused = true)]
async fn agent_runs_over_a_stream() {
    let inputs = (0..200).map(|n| Conversation::from(format!("input {n}")));
    let started = Instant::now();
    let outcomes = tool_calling_agent().stream(inputs, &Context::new()).limit(20).ordered().collect().await;
    assert_eq!(outcomes.len(), 200);
    for (index, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.provenance.usage().tokens(), 40);
        let reply = outcome.result.unwrap();
        assert_eq!((reply.text, reply.turns, reply.tool_calls), (format!("input {index}"), 2, 1));
        assert_eq!(reply.usage.tokens(), 40, "only its own usage");
    }
    assert!((ms(100)..ms(140)).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn agent_is_a_pipeline_stage() {
    let question = step(|n: usize, _| async move { Ok(Conversation::from(format!("{n}"))) });
    let answer = step(|reply: llmspell::agent::AgentReply, _| async move { Ok(reply.text.parse::<usize>()? + 1) });
    let line =
        pipeline("line").stage("ask", question).stage("agent", tool_calling_agent()).limit(4).stage("read", answer);
    let outs = line.stream(0..20, &Context::new()).ordered().try_collect().await.unwrap();
    assert_eq!(outs, (1..=20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn agent_is_retried_from_the_beginning() {
    let down = ModelError::new(ModelErrorClass::Overloaded, "busy").with_retry_after(ms(300));
    let model = ScriptedModel::new("test").calls("t", json!({})).fails(down).says("Now.");
    let agent = Agent::builder(model.clone()).tools([tool("t", 0)]).build().unwrap();
    let outcome = agent.retry(Retry::exponential()).with_outcome().run("?".into(), &Context::new()).await.unwrap();
    assert_eq!((outcome.result.unwrap().text.as_str(), outcome.provenance.retries), ("Now.", 1));
    assert_eq!(unfinished(&outcome.causes[0]).tool_calls, 1);
    assert_eq!(model.requests()[2].messages.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn fallback_chain_of_agents_serves_the_first_success() {
    let dear = Agent::builder(ScriptedModel::new("dear").hangs()).build().unwrap();
    let slow = ClosureModel(|events: EventSender| async move {
        events.send(ModelEvent::Text("As far as I".into())).await?;
        std::future::pending().await
    });
    let partial = Agent::builder(slow).deadline(ms(200)).partial().build().unwrap();
    let ladder = dear.deadline(ms(500)).fallback(partial.fallback(answering_agent("Sorry.", 0)));
    let outcome = ladder.with_outcome().run("?".into(), &Context::new()).await.unwrap();
    assert_eq!(outcome.result.unwrap().text, "As far as I");
    // The fallback itself was partial: both reasons are among the causes.
    assert_eq!((outcome.quality, outcome.causes.len()), (Quality::Fallback, 2));
}

#[tokio::test(start_paused = true)]
async fn models_race_inside_an_agent_and_the_winner_gives_the_partial_answer() {
    let chatty = |word: &'static str, first: u64| {
        ClosureModel(move |events: EventSender| async move {
            sleep(ms(first)).await;
            for _ in 0..100 {
                events.send(ModelEvent::Text(word.into())).await?;
                sleep(ms(100)).await;
            }
            events.send(ModelEvent::Finish(Finish::Stop)).await
        })
    };
    let both = race((chatty("slow ", 50).step().named("slow"), chatty("fast ", 20).step().named("fast")));
    let agent = Agent::of(both.first_output()).deadline(ms(250)).partial().build().unwrap();
    let mut events = agent.events("?", &Context::new());
    let mut words = String::new();
    while let Some(event) = completes(events.next()).await {
        match event.unwrap() {
            AgentEvent::Text(word) => words.push_str(&word),
            AgentEvent::Done(reply) => {
                assert_eq!((reply.text.as_str(), words.as_str()), ("fast fast fast ", "fast fast fast "));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rate_and_budget_around_the_model_count_every_turn() {
    let rate = Rate::per_second(10);
    let budget = Budget::tokens(1_000);
    let asked = ToolCallingModel.step().rate(rate).budget(budget.clone());
    let agent = Agent::of(asked).tools([tool("t", 0)]).build().unwrap();
    let started = Instant::now();
    let inputs = (0..5).map(|n| Conversation::from(format!("{n}")));
    agent.stream(inputs, &Context::new()).limit(5).try_collect().await.unwrap();
    assert_eq!(budget.spent().tokens(), 5 * 40);
    assert!((ms(900)..ms(1000)).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn retries_make_unreliable_models_reliable() {
    let model = |seed| {
        SimulatedModel::new("sim")
            .first_token(ms(200), 0.4)
            .tokens_per_second(100.0)
            .rate_limited(0.2, ms(300))
            .truncated(0.1)
            .hanging(0.1)
            .seed(seed)
    };
    let ask = |seed| {
        let retry = Retry::exponential().max_attempts(8).after_output();
        model(seed).step().idle_timeout(ms(2000), ms(500)).retry(retry)
    };
    let agent = Agent::of(ask(1)).build().unwrap().fallback(Agent::of(ask(2)).build().unwrap());
    let inputs = (0..200).map(|n| Conversation::from(format!("{n}")));
    let outcomes = completes(agent.stream(inputs, &Context::new()).limit(20).collect()).await;
    for outcome in &outcomes {
        assert_eq!(outcome.result.as_ref().unwrap().text.split_whitespace().count(), 20);
    }
    assert!(outcomes.iter().map(|outcome| outcome.provenance.retries).sum::<u32>() > 20);
}

#[tokio::test(start_paused = true)]
async fn agents_call_agents_call_agents() {
    const DEPTH: u32 = 60;
    let mut agent = answering_agent("Bottom.", 0);
    for _ in 0..DEPTH {
        let model = ScriptedModel::new("test").calls("down", json!({ "prompt": "Go." })).says("Up.");
        agent = Agent::builder(model).tools([agent.into_tool("down", "Goes down.")]).build().unwrap();
    }
    let reply = completes(agent.run("?".into(), &Context::new())).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.tool_calls), ("Up.", 1));
    assert_eq!(reply.usage.output_tokens, u64::from(2 * DEPTH + 1));
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn agent_that_calls_itself_forever_ends_at_its_deadline() {
    let depth = Arc::new(AtomicU32::new(0));
    fn recursive_step(depth: Arc<AtomicU32>) -> BoxStep<Value, Value> {
        step(move |_: Value, cx: Context| {
            let depth = depth.clone();
            async move {
                depth.fetch_add(1, Ordering::SeqCst);
                let dig = DynTool::from_schema("dig", "Digs.", json!({ "type": "object" }), recursive_step(depth));
                let model = ScriptedModel::new("test").calls("dig", json!({})).says("Dug.");
                let agent = Agent::builder(model.delay(ms(10))).tools([dig]).build()?;
                Ok(Value::String(agent.run("Dig.".into(), &cx).await?.text))
            }
        })
        .boxed()
    }
    let started = Instant::now();
    let error = recursive_step(depth.clone()).deadline(ms(1000)).run(Value::Null, &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), started.elapsed() < ms(1010)), (ErrorKind::Timeout, true));
    assert!(depth.load(Ordering::SeqCst) > 50);
    assert_eq!(settled_tasks().await, 0);
}
