//! Trials with a small language model behind llama.cpp's server. `tests/peers/llm/run.sh` starts both.
//!
//! `llm URL URL TASKS ANSWERS OUTCOMES`: two servers, the tasks of `flows/data`, their accepted answers, and the file
//! for the outcomes of 200 tasks.
//!
//! A model of 135 million parameters gives few correct answers. The trials check everything between question and
//! answer; correctness is measured but not asserted.

mod agent;
mod answer;
mod force;
mod limits;
mod race;
mod records;

use std::process::ExitCode;
use std::time::Duration;

use llmspell_models::{Models, RemoteModel, Wire};
use model_peers::TrialReport;

/// The time limit for a slot to stop work whose caller has left.
const SOON: Duration = Duration::from_secs(1);

fn model(url: &str) -> llmspell::Result<RemoteModel> {
    Models::new().endpoint("llama", Wire::OpenAi, format!("{url}/v1")).get("llama/smollm2-135m")
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [one, two, tasks, answers, outcomes] = arguments.as_slice() else {
        eprintln!("usage: llm URL URL TASKS ANSWERS OUTCOMES");
        return ExitCode::FAILURE;
    };
    let mut report = TrialReport::new("llama.cpp");
    report.check("words, with usage", answer::reply_has_usage(one)).await;
    report.check("an answer in the shape of a JSON Schema", answer::reply_matches_a_schema(one)).await;
    report.check("an agent with two tools", agent::answers_with_tools(one, tasks)).await;
    let race = Box::pin(race::first_token_decides([one, two]));
    report.check("two models race for the first token", race).await;
    report.check("deadline of 1 s on a long answer", limits::deadline_ends_the_call(one)).await;
    report.check("a stream is dropped", limits::dropped_stream_ends_the_call(one)).await;
    report.check("a prompt that is too long", limits::oversized_prompt_has_its_error_class(one)).await;
    report
        .check(
            "200 records through an agent, 4 at a time",
            records::each_has_one_outcome([one, two], tasks, answers, outcomes),
        )
        .await;
    report.exit()
}
