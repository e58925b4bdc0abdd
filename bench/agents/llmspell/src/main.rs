//! LLMSpell: an agent as a step over a stream of prompts, read event by event.

use std::time::Instant;

use agents_measure::{MODEL, Order, PROMPT, SYSTEM, Score, TOOL_TIME, report_times};
use llmspell::agent::{Agent, AgentEvent};
use llmspell::{Context, Error, Result, Step, Tool, schemars::JsonSchema, step};
use llmspell_models::{Models, Wire};

#[derive(serde::Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct WorkArguments {
    number: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let order = Order::read();
    let model = Models::new().endpoint("local", Wire::OpenAi, &*order.url).get(&format!("local/{MODEL}"))?;
    let agent = Agent::builder(model).system(SYSTEM);
    match order.task.as_str() {
        "stream" => stream(agent.build()?, order.agents).await,
        _ => tools(agent, order.agents).await,
    }
}

async fn stream(agent: Agent, agents: usize) -> Result<()> {
    let score = Score::start();
    let counts = score.clone();
    let run_one = step(move |prompt: &'static str, cx: Context| {
        let (agent, score) = (agent.clone(), counts.clone());
        async move {
            let mut events = agent.events(prompt, &cx);
            let mut is_first = true;
            while let Some(event) = events.next().await {
                match event? {
                    AgentEvent::Text(text) => score.received(&text, std::mem::take(&mut is_first)),
                    AgentEvent::Done(_) => return Ok(()),
                    _ => {}
                }
            }
            Err(Error::failed("the events ended without an answer"))
        }
    });
    let mut outcomes = run_one.stream(std::iter::repeat_n(PROMPT, agents), &Context::new()).limit(agents);
    while let Some(outcome) = outcomes.next().await {
        match outcome.result {
            Ok(()) => score.finished(),
            Err(error) => score.failed(error),
        }
    }
    score.report();
    Ok(())
}

async fn tools(agent: llmspell::agent::AgentBuilder, runs: usize) -> Result<()> {
    let work = step(|arguments: WorkArguments, _cx: Context| async move {
        tokio::time::sleep(TOOL_TIME).await;
        Ok(arguments.number)
    });
    let agent = agent.tool(Tool::of("work", "Does a piece of work.", work)).build()?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        let reply = agent.run(PROMPT.into(), &Context::new()).await?;
        times.push(started.elapsed());
        assert_eq!((reply.text.as_str(), reply.tool_calls), ("Done.", 8));
    }
    report_times(&times);
    Ok(())
}
