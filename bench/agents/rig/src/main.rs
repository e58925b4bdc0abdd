//! rig: one stream per agent, each in its own task.

use std::time::Instant;

use agents_measure::{MODEL, Order, PROMPT, SYSTEM, Score, TOOL_CALLS, TOOL_TIME, report_times};
use futures::StreamExt;
use rig::prelude::*;
use rig::providers::openai::OpenAIConfig;
use rig::streaming::{Item, StreamEvent};
use rig::tool::ToolExecutionError;
use tokio::task::JoinSet;

/// Does a piece of work.
#[rig::rig_tool(description = "Does a piece of work.", params(number = "Which"), required(number))]
async fn work(number: u64) -> Result<u64, ToolExecutionError> {
    tokio::time::sleep(TOOL_TIME).await;
    Ok(number)
}

#[tokio::main]
async fn main() {
    let order = Order::read();
    let openai = OpenAIConfig::new("none").with_base_url(&order.url).client();
    let agent = || AgentBuilder::new(openai.chat(MODEL)).preamble(SYSTEM);
    if order.task == "tools" {
        return tools(agent().tool(Work).build(), order.agents, &order.variant).await;
    }
    let score = Score::start();
    // One agent for all prompts, or one for each. The runs of one agent wake each other because they share a bus.
    let shared = (order.variant == "shared").then(|| agent().build());
    let mut tasks = JoinSet::new();
    for _ in 0..order.agents {
        let agent = shared.clone().unwrap_or_else(|| agent().build());
        let score = score.clone();
        tasks.spawn(async move {
            match run_one(agent, &score).await {
                Ok(()) => score.finished(),
                Err(error) => score.failed(error),
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    score.report();
}

async fn run_one(agent: Agent, score: &Score) -> Result<(), String> {
    let mut stream = agent.prompt(PROMPT).stream();
    let mut is_first = true;
    let mut is_done = false;
    while let Some(item) = stream.next().await {
        match item.map_err(|error| error.to_string())? {
            MultiTurnStreamItem::StreamAssistantItem(Item::Event(StreamEvent::Text { text, .. })) => {
                score.received(&text, std::mem::take(&mut is_first));
            }
            MultiTurnStreamItem::FinalResponse(_) => is_done = true,
            _ => {}
        }
    }
    if is_done { Ok(()) } else { Err("the stream ended without an answer".into()) }
}

async fn tools(agent: Agent, runs: usize, variant: &str) {
    let mut times = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        // The default is one turn, which ends before the answer.
        let runner = agent.prompt(PROMPT).max_turns(4);
        let mut stream = match variant {
            "concurrent" => runner.tool_concurrency(TOOL_CALLS).stream(),
            _ => runner.stream(),
        };
        let mut answer = None;
        let mut results = 0;
        while let Some(item) = stream.next().await {
            match item.expect("no error") {
                MultiTurnStreamItem::ToolResult { .. } => results += 1,
                MultiTurnStreamItem::FinalResponse(response) => answer = Some(response.output().to_owned()),
                _ => {}
            }
        }
        times.push(started.elapsed());
        assert_eq!((answer.as_deref(), results), (Some("Done."), TOOL_CALLS));
    }
    report_times(&times);
}
