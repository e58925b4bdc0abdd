//! A real small language model behind llama.cpp's own server: `tests/peers/llm/run.sh` starts it and this.
//!
//! `llm URL URL TASKS ANSWERS OUTCOMES`: two servers, the tasks of `flows/data`, what is accepted as their answers,
//! and where the outcomes of 200 of them are written.
//!
//! A model of 135 million parameters reasons badly: the tests check that everything between prompt and answer
//! works. The share of correct answers is measured, and no check depends on it.

mod agent;
mod answer;
mod force;
mod limits;
mod race;
mod records;

use std::process::ExitCode;
use std::time::Duration;

use llmspell_models::{Models, RemoteModel, Wire};
use model_peers::Checks;

/// The time for which a slot may still work on a dropped request.
const SOON: Duration = Duration::from_secs(1);

fn model(url: &str) -> llmspell::Result<RemoteModel> {
    Models::new().endpoint("llama", Wire::OpenAi, format!("{url}/v1")).get("llama/smollm2-135m")
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [one, two, tasks, answers, outcomes] = arguments.as_slice() else {
        eprintln!("llm URL URL TASKS ANSWERS OUTCOMES");
        return ExitCode::FAILURE;
    };
    let mut rows = Checks::info("llama.cpp");
    rows.check("words, with usage", answer::says_how_much_it_was(one)).await;
    rows.check("an answer in the shape of a JSON Schema", answer::keeps_to_a_schema(one)).await;
    rows.check("an agent with two tools", agent::answers_with_tools(one, tasks)).await;
    let race = Box::pin(race::the_first_token_decides([one, two]));
    rows.check("two models race for the first token", race).await;
    rows.check("deadline of 1 s on a long answer", limits::a_deadline_ends_it(one)).await;
    rows.check("a stream is dropped", limits::a_dropped_stream_ends_it(one)).await;
    rows.check("a prompt that is too long", limits::too_long_prompt_has_its_class(one)).await;
    rows.check("200 records through an agent, 4 at a time", records::all_of_them([one, two], tasks, answers, outcomes))
        .await;
    rows.exit()
}
