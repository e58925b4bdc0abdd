//! Trials with aimock, a third-party mock server with faults. `tests/peers/mock/run.sh` starts both.
//!
//! `mock URL KEY`: the URL of the server, and the key that it requires. The answers to the questions are in
//! `tests/peers/mock/fixtures.json`.

mod answers;
mod faults;
mod journal;
mod keys;

use std::process::ExitCode;
use std::time::Duration;

use llmspell::model::{Model, ModelError, Reply};
use llmspell::{Context, Error, Result, Step};
use llmspell_models::{Models, RemoteModel, Wire};
use model_peers::TrialReport;

/// The server under test.
struct Mock {
    url: String,
    key: String,
}

impl Mock {
    fn models(&self, wire: Wire) -> Models {
        let path = match wire {
            Wire::Gemini => "/v1beta",
            Wire::Ollama => "",
            _ => "/v1",
        };
        Models::new().endpoint("mock", wire, format!("{}{path}", self.url)).key("mock", self.key.as_str())
    }

    fn model(&self) -> Result<RemoteModel> {
        self.models(Wire::OpenAi).get("mock/some-model")
    }
}

/// Asks a question without retries.
async fn ask(model: RemoteModel, question: &str) -> Result<Reply> {
    model.step().run(question.into(), &Context::new()).await
}

/// Asks a question that must fail, and returns the error and its cause.
async fn failure(model: RemoteModel, question: &str) -> Result<(Error, ModelError)> {
    match ask(model, question).await {
        Ok(reply) => Err(Error::failed(format!("expected an error, found an answer: {}", reply.text))),
        Err(error) => match error.downcast_ref::<ModelError>().cloned() {
            Some(cause) => Ok((error, cause)),
            None => Err(error),
        },
    }
}

const WIRES: [Wire; 4] = [Wire::OpenAi, Wire::Anthropic, Wire::Gemini, Wire::Ollama];

/// The timeout in the trials of silent servers.
const SILENCE: Duration = Duration::from_millis(400);

#[tokio::main]
async fn main() -> ExitCode {
    let Some((url, key)) = std::env::args().nth(1).zip(std::env::args().nth(2)) else {
        eprintln!("usage: mock URL KEY");
        return ExitCode::FAILURE;
    };
    let mock = Mock { url, key };
    let mut report = TrialReport::new("aimock");
    report.check("words, piece by piece, on four wires", answers::text_arrives_in_pieces(&mock)).await;
    report.check("an agent calls two tools in one turn, on four wires", answers::agents_call_tools(&mock)).await;
    report.check("50 questions, 4 at a time", answers::stream_of_questions_asks_each_once(&mock)).await;
    report.check("a consumer that is slow", answers::slow_consumer_loses_nothing(&mock)).await;
    report.check("429 with Retry-After", faults::rate_limit_has_its_delay(&mock)).await;
    report.check("429, waited for and tried again", faults::retry_waits_for_the_delay_of_the_server(&mock)).await;
    report.check("503", faults::overload_differs_from_failure(&mock)).await;
    report.check("500, three attempts", faults::retries_are_as_many_as_configured(&mock)).await;
    report.check("connection cut before the answer", faults::connection_broken_before_the_answer(&mock)).await;
    report.check("connection cut in the answer, on four wires", faults::connection_broken_in_the_answer(&mock)).await;
    report.check("an end without a finish reason", faults::end_without_a_finish_reason(&mock)).await;
    report.check("no JSON in a 200", faults::invalid_json(&mock)).await;
    report.check("headers that do not come", faults::headers_that_do_not_arrive(&mock)).await;
    report.check("a stream that stalls", faults::stalled_stream(&mock)).await;
    report.check("a wrong key", keys::wrong_key_is_denied(&mock)).await;
    report.check("where the key went, and how many requests", keys::key_is_only_in_its_header(&mock)).await;
    report.exit()
}
