//! aimock, a server with faults that others have written: `tests/peers/mock/run.sh` starts it and this.
//!
//! `mock URL KEY`: the address, and the key that the server asks for. Its replies are in
//! `tests/peers/mock/fixtures.json`.

mod faults;
mod journal;
mod keys;
mod talk;

use std::process::ExitCode;
use std::time::Duration;

use llmspell::model::{Model, ModelError, Reply};
use llmspell::{Context, Error, Result, Step};
use llmspell_models::{Models, RemoteModel, Wire};
use model_peers::Checks;

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

/// Asks once.
async fn ask(model: RemoteModel, question: &str) -> Result<Reply> {
    model.step().run(question.into(), &Context::new()).await
}

/// The failure that a question is to end with, and its cause.
async fn failure(model: RemoteModel, question: &str) -> Result<(Error, ModelError)> {
    match ask(model, question).await {
        Ok(reply) => Err(Error::failed(format!("it was answered: {}", reply.text))),
        Err(error) => match error.downcast_ref::<ModelError>().cloned() {
            Some(cause) => Ok((error, cause)),
            None => Err(error),
        },
    }
}

const WIRES: [Wire; 4] = [Wire::OpenAi, Wire::Anthropic, Wire::Gemini, Wire::Ollama];

/// How long a model may be silent, where that is what is tried.
const SILENCE: Duration = Duration::from_millis(400);

#[tokio::main]
async fn main() -> ExitCode {
    let Some((url, key)) = std::env::args().nth(1).zip(std::env::args().nth(2)) else {
        eprintln!("mock URL KEY");
        return ExitCode::FAILURE;
    };
    let mock = Mock { url, key };
    let mut rows = Checks::info("aimock");
    rows.check("words, piece by piece, on four wires", talk::comes_in_pieces(&mock)).await;
    rows.check("an agent calls two tools in one turn, on four wires", talk::agents_call_tools(&mock)).await;
    rows.check("50 questions, 4 at a time", talk::questions_keep_to_their_limit(&mock)).await;
    rows.check("a consumer that is slow", talk::nothing_is_lost_on_the_slow(&mock)).await;
    rows.check("429 with Retry-After", faults::too_many_requests_say_when(&mock)).await;
    rows.check("429, waited for and tried again", faults::retry_waits_for_retry_after(&mock)).await;
    rows.check("503", faults::overload_is_distinct_from_failure(&mock)).await;
    rows.check("500, three attempts", faults::retries_are_as_many_as_were_asked_for(&mock)).await;
    rows.check("connection cut before the answer", faults::a_connection_that_breaks(&mock)).await;
    rows.check("connection cut in the answer, on four wires", faults::an_answer_cut_short(&mock)).await;
    rows.check("an end without a finish reason", faults::an_end_that_is_none(&mock)).await;
    rows.check("no JSON in a 200", faults::nonsense(&mock)).await;
    rows.check("headers that do not come", faults::a_server_that_does_not_begin(&mock)).await;
    rows.check("a stream that stalls", faults::a_stream_that_stalls(&mock)).await;
    rows.check("a wrong key", keys::a_wrong_key_is_denied(&mock)).await;
    rows.check("where the key went, and how many requests", keys::the_key_is_where_it_belongs(&mock)).await;
    rows.exit()
}
