//! The overhead of an agent's loop over its model's stream, and the gain of concurrent tool calls.
//!
//! `cargo bench -p llmspell --bench agent` prints the table of `benches/README.md`, and fails if a figure is above its
//! target. The model is ready at once, so that nothing is measured but the loop. Costs are CPU time; the time of a turn
//! with tools that wait is time on the clock, the median of seven turns, and the least of them where the machine is busy.

#![allow(unreachable_pub, reason = "a benchmark exports nothing")]

#[path = "patterns/measure.rs"]
#[allow(dead_code, reason = "the tables of patterns are of another shape")]
mod measure;

use std::pin::Pin;
use std::process::ExitCode;
use std::task::{self, Poll};
use std::time::Duration;

use futures_core::Stream;
use llmspell::agent::Agent;
use llmspell::model::{Finish, Message, Model, ModelEvent, ModelStream, Request, ToolCallDelta};
use llmspell::observe::Usage;
use llmspell::tool::DynTool;
use llmspell::{Context, Result, Step, step};
use measure::Flavour;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const SAMPLES: usize = 15;

/// A model that makes `calls` tool calls in each of `turns` turns, and then emits `words` words.
#[derive(Clone, Copy)]
struct ReadyModel {
    turns: usize,
    calls: usize,
    words: usize,
}

impl Model for ReadyModel {
    fn name(&self) -> &str {
        "ready"
    }

    fn stream(&self, request: Request, _: &Context) -> ModelStream {
        let turn = request.messages.iter().filter(|message| matches!(message, Message::Assistant { .. })).count();
        self.turn(turn)
    }
}

impl ReadyModel {
    fn turn(&self, turn: usize) -> ModelStream {
        let (calls, words) = if turn < self.turns { (self.calls, 0) } else { (0, self.words) };
        ModelStream::new(TurnStream { calls, words, ends: 2 })
    }
}

/// The rest of a turn.
struct TurnStream {
    calls: usize,
    words: usize,
    ends: usize,
}

impl Stream for TurnStream {
    type Item = Result<ModelEvent>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(if self.calls > 0 {
            self.calls -= 1;
            let call = ToolCallDelta::begin(self.calls, self.calls.to_string(), "tool").with_arguments("{}");
            Some(Ok(ModelEvent::ToolCall(call)))
        } else if self.words > 0 {
            self.words -= 1;
            Some(Ok(ModelEvent::Text("word ".to_owned())))
        } else {
            self.ends = self.ends.saturating_sub(1);
            Some(Ok(match self.ends {
                1 => ModelEvent::Usage(Usage::new(10, 10)),
                _ => ModelEvent::Finish(Finish::Stop),
            }))
        })
    }
}

/// Reads the streams of all turns, and does nothing with them.
async fn read(model: ReadyModel) {
    for turn in 0..=model.turns {
        let mut stream = model.turn(turn);
        while let Some(event) = stream.next().await {
            if matches!(event.expect("no failure"), ModelEvent::Finish(_)) {
                break;
            }
        }
    }
}

fn agent(model: ReadyModel, delay: Duration) -> Agent {
    let wait = step(move |_: Value, _| async move {
        if !delay.is_zero() {
            sleep(delay).await;
        }
        Ok(Value::Null)
    });
    let tool = DynTool::from_schema("tool", "Waits.", json!({ "type": "object" }), wait);
    Agent::builder(model).tools([tool]).max_turns(1_000).build().expect("an agent")
}

/// The overhead of an agent over its model's stream, in nanoseconds: alone, and with its events read.
fn overhead(model: ReadyModel, operations: u32) -> [f64; 2] {
    let agent = agent(model, Duration::ZERO);
    let by_hand = async |operations| {
        for _ in 0..operations {
            read(model).await;
        }
    };
    let run = async |operations| {
        for _ in 0..operations {
            agent.run("?".into(), &Context::new()).await.expect("a reply");
        }
    };
    let events = async |operations| {
        for _ in 0..operations {
            let mut events = agent.events("?", &Context::new());
            while let Some(event) = events.next().await {
                event.expect("no failure");
            }
        }
    };
    let (unobserved, floor) = Flavour::CurrentThread.costs(operations, SAMPLES, run, by_hand);
    let (observed, second_floor) = Flavour::CurrentThread.costs(operations, SAMPLES, events, by_hand);
    [unobserved - floor, observed - second_floor]
}

/// How long a turn with 8 calls of 100 ms takes, in milliseconds: the median and the least of some.
fn turn_with_tools(flavour: Flavour) -> (f64, f64) {
    let agent = agent(ReadyModel { turns: 1, calls: 8, words: 1 }, Duration::from_millis(100));
    let runtime = flavour.runtime();
    let mut times: Vec<f64> = (0..7)
        .map(|_| {
            runtime.block_on(async {
                let started = Instant::now();
                let reply = agent.run("?".into(), &Context::new()).await.expect("a reply");
                assert_eq!(reply.tool_calls, 8);
                started.elapsed().as_secs_f64() * 1e3
            })
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}

fn main() -> ExitCode {
    let mut failed = false;
    let mut row = |what: &str, figure: f64, counts: f64, target: f64, unit: &str| {
        println!("| {what} | {figure:.2} {unit} | ≤ {target:.0} {unit} |");
        failed |= counts > target;
    };
    println!("\n### agent\n\nOver the model's own stream, read by hand.\n");
    println!("| work | figure | target |\n|---|---|---|");
    for (flavour, what) in [
        (Flavour::CurrentThread, "a turn with 8 calls of 100 ms, one thread"),
        (Flavour::MultiThread, "a turn with 8 calls of 100 ms, two workers"),
    ] {
        let (median, least) = turn_with_tools(flavour);
        row(what, median, least, 110.0, "ms");
    }
    let [unobserved, observed] = overhead(ReadyModel { turns: 0, calls: 0, words: 1 }, 2_000);
    row("a turn that answers at once", unobserved / 1e3, unobserved / 1e3, 20.0, "µs");
    row("the same, its events read", observed / 1e3, observed / 1e3, 20.0, "µs");
    let [unobserved, observed] = overhead(ReadyModel { turns: 20, calls: 1, words: 1 }, 100);
    row("a turn with one call of a tool that is ready", unobserved / 21e3, unobserved / 21e3, 20.0, "µs");
    row("the same, its events read", observed / 21e3, observed / 21e3, 20.0, "µs");
    let [unobserved, observed] = overhead(ReadyModel { turns: 0, calls: 0, words: 1_000 }, 20);
    row("an event", unobserved / 1e6, unobserved / 1e6, 2.0, "µs");
    row("the same, its events read", observed / 1e6, observed / 1e6, 2.0, "µs");
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
