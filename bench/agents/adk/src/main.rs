//! adk-rust: a runner with sessions in memory, each run in its own task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use adk_rust::prelude::*;
use adk_rust::runner::Runner;
use adk_rust::session::{CreateRequest, SessionService};
use adk_rust::{ToolContext, ToolExecutionStrategy};
use agents_measure::{MODEL, Order, PROMPT, SYSTEM, Score, TOOL_CALLS, TOOL_TIME, report_times};
use futures::StreamExt;
use schemars::JsonSchema;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const APP: &str = "bench";
const USER: &str = "user";

#[derive(serde::Deserialize, serde::Serialize, JsonSchema)]
struct WorkArguments {
    number: u64,
}

async fn work(_: Arc<dyn ToolContext>, arguments: Value) -> adk_rust::Result<Value> {
    tokio::time::sleep(TOOL_TIME).await;
    Ok(json!({ "number": arguments["number"] }))
}

#[tokio::main]
async fn main() -> AnyhowResult<()> {
    let order = Order::read();
    let model = Arc::new(OpenAIClient::new(OpenAIConfig::compatible("none", &order.url, MODEL))?);
    let agent = LlmAgentBuilder::new("storyteller").instruction(SYSTEM).model(model);
    if order.task == "tools" {
        return tools(agent, order.agents, &order.variant).await;
    }
    let sessions: Arc<dyn SessionService> = Arc::new(InMemorySessionService::new());
    let runner = Arc::new(runner(agent, sessions.clone())?);
    let score = Score::start();
    let mut tasks = JoinSet::new();
    for index in 0..order.agents {
        let (runner, sessions, score) = (runner.clone(), sessions.clone(), score.clone());
        tasks.spawn(async move {
            match run_one(&runner, &sessions, &format!("session-{index}"), &score).await {
                Ok(()) => score.finished(),
                Err(error) => score.failed(error),
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    score.report();
    Ok(())
}

fn runner(agent: LlmAgentBuilder, sessions: Arc<dyn SessionService>) -> AnyhowResult<Runner> {
    let agent: Arc<dyn Agent> = Arc::new(agent.build()?);
    Ok(Runner::builder().app_name(APP).agent(agent).session_service(sessions).build()?)
}

async fn open(sessions: &Arc<dyn SessionService>, session: &str) -> adk_rust::Result<()> {
    let session = Some(session.to_owned());
    let request =
        CreateRequest { app_name: APP.into(), user_id: USER.into(), session_id: session, state: HashMap::new() };
    sessions.create(request).await.map(drop)
}

async fn run_one(
    runner: &Runner,
    sessions: &Arc<dyn SessionService>,
    session: &str,
    score: &Score,
) -> adk_rust::Result<()> {
    open(sessions, session).await?;
    let mut events = runner.run_str(USER, session, Content::new("user").with_text(PROMPT)).await?;
    let mut is_first = true;
    while let Some(event) = events.next().await {
        let event = event?;
        // The last event has no new text: it repeats the text so far, or marks the end.
        if !event.llm_response.partial {
            continue;
        }
        for part in event.content().map(|content| &*content.parts).unwrap_or_default() {
            if let Part::Text { text } = part {
                score.received(text, std::mem::take(&mut is_first));
            }
        }
    }
    Ok(())
}

async fn tools(agent: LlmAgentBuilder, runs: usize, variant: &str) -> AnyhowResult<()> {
    let tool = FunctionTool::new("work", "Does a piece of work.", work).with_parameters_schema::<WorkArguments>();
    let mut agent = agent.tool(Arc::new(tool));
    if variant == "parallel" {
        agent = agent.tool_execution_strategy(ToolExecutionStrategy::Parallel);
    }
    let sessions: Arc<dyn SessionService> = Arc::new(InMemorySessionService::new());
    let runner = runner(agent, sessions.clone())?;
    let mut times = Vec::new();
    for run in 0..runs {
        let session = format!("session-{run}");
        open(&sessions, &session).await?;
        let started = Instant::now();
        let mut events = runner.run_str(USER, &session, Content::new("user").with_text(PROMPT)).await?;
        let (mut text, mut results) = (String::new(), 0);
        while let Some(event) = events.next().await {
            let event = event?;
            let is_partial = event.llm_response.partial;
            for part in event.content().map(|content| &*content.parts).unwrap_or_default() {
                match part {
                    Part::Text { text: more } if is_partial => text.push_str(more),
                    Part::FunctionResponse { .. } => results += 1,
                    _ => {}
                }
            }
        }
        times.push(started.elapsed());
        assert_eq!((text.as_str(), results), ("Done.", TOOL_CALLS));
    }
    report_times(&times);
    Ok(())
}
