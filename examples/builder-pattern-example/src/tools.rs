//! A tool is a step with a name. Its timeout, retries and concurrency limit are set on the step, before it becomes a
//! tool. Its privilege, and the concurrency among calls of a turn, are set on the tool.

use std::time::Duration;

use example_page::Section;
use llmspell::observe::{Event, EventKind};
use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Agent, Context, Limit, Result, Retry, Step, Tool, step};
use llmspell_test::ScriptedModel;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[derive(Clone, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct City {
    /// Its name, as on a map.
    city: String,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct NoteLine {
    /// The note to be added to.
    path: String,
    text: String,
}

/// Looks something up on a slow server that takes two questions at once: shared by all tools that ask it.
fn weather(server: &Limit) -> DynTool {
    let look_up = step(|args: City, cx: Context| async move {
        // The first attempt for Rome hangs.
        sleep(if args.city == "Rome" && cx.attempt() == 1 { millis(10_000) } else { millis(40) }).await;
        Ok(format!("{}: 20 °C", args.city))
    });
    let careful = look_up
        .timeout(millis(100)) // of each attempt
        .limit(server.clone()) // over all turns, agents and tools that have the same limit
        .retry(Retry::immediately().max_attempts(3));
    Tool::of("weather", "The weather of a city now.", careful).security(Privilege::Restricted).erase()
}

/// Calls for the same path run one after another, in the model's order.
fn note() -> DynTool {
    let append = step(|line: NoteLine, _| async move {
        sleep(millis(20)).await;
        Ok(format!("{}: {}", line.path, line.text))
    });
    Tool::of("note", "Adds a line to a note.", append).keyed("path").security(Privilege::Privileged).erase()
}

/// Runs alone: nothing else changes the notes meanwhile.
fn publish() -> DynTool {
    let all = |_: serde_json::Value, _| async { Ok("published") };
    Tool::new("publish", "Publishes all notes.", all).exclusive().security(Privilege::Privileged).erase()
}

pub async fn run() -> Result<Section> {
    let mut section = Section::new("Tools: time, attempts, limits; what may run beside what");

    let cities = ["Oslo", "Rome", "Lima", "Cairo"];
    let mut model = ScriptedModel::new("scripted");
    for city in cities {
        model = model.calls("weather", json!({ "city": city }));
    }
    let agent = Agent::builder(model.says("All is well.")).tools([weather(&Limit::new(2))]).build()?;
    let cx = Context::recording();
    let reply = agent.run("How is the weather?".into(), &cx).await?;
    let events = cx.events();
    let timeouts = events.iter().filter(|event| matches!(event.fact, EventKind::TimedOut { .. })).count();
    let waited = events.iter().filter(|event| matches!(event.fact, EventKind::Admitted { .. })).count();
    section.say("four calls in one turn, two at a time; the first attempt for Rome hangs");
    section.claim(
        reply.tool_calls == 4 && timeouts == 1,
        format!("{} calls answered, {timeouts} attempt stopped after 100 ms and made again", reply.tool_calls),
    );
    section.claim(waited >= 2, format!("{waited} attempts waited for one of the 2 places"));

    let model = ScriptedModel::new("scripted")
        .calls("note", json!({ "path": "a", "text": "one" }))
        .calls("note", json!({ "path": "a", "text": "two" }))
        .calls("note", json!({ "path": "b", "text": "three" }))
        .calls("publish", json!({}))
        .says("Done.");
    let agent = Agent::builder(model).tools([note(), publish()]).build()?;
    let cx = Context::recording();
    agent.run("Write it down.".into(), &cx).await?;
    let calls = Calls::of(&cx.events());
    section.say("note(a), note(a), note(b), publish() in one turn");
    // They begin in another order: the second line of `a` waits, and lets that of `b` pass.
    let (first_of_a, of_b, second_of_a, publish) = (0, 1, 2, 3);
    section.claim(
        calls.overlap(first_of_a, of_b) && !calls.overlap(first_of_a, second_of_a),
        "keyed: two notes are written at once, two lines of one note never",
    );
    section.claim(
        (0..publish).all(|note| !calls.overlap(note, publish)),
        "exclusive: publishing waits until all are written",
    );

    let spec = weather(&Limit::new(2));
    section.say("the spec of `weather`, as a model receives it");
    section.quote(serde_json::to_string(&spec.spec())?);
    section.claim(
        spec.spec().parameters["properties"]["city"]["description"] == "Its name, as on a map.",
        "the schema comes from the type, and its words from the comments",
    );
    Ok(section)
}

/// When each call of a tool began and ended, in the order in which they began.
struct Calls(Vec<(Duration, Duration)>);

impl Calls {
    fn of(events: &[Event]) -> Self {
        let is_tool = |event: &&Event| event.path.to_string().starts_with("tools.");
        let mut calls: Vec<(u64, Duration, Duration)> = Vec::new();
        for event in events.iter().filter(is_tool) {
            match event.fact {
                EventKind::Started => calls.push((event.call, event.at, event.at)),
                EventKind::Finished { .. } => {
                    calls.iter_mut().filter(|call| call.0 == event.call).for_each(|call| call.2 = event.at);
                }
                _ => {}
            }
        }
        Calls(calls.into_iter().map(|(_, start, end)| (start, end)).collect())
    }

    fn overlap(&self, one: usize, other: usize) -> bool {
        let ((a_start, a_end), (b_start, b_end)) = (self.0[one], self.0[other]);
        a_start < b_end && b_start < a_end
    }
}
