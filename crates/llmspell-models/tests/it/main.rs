//! The guarantees of providers' models, against a local server with the faults of real ones. They hold for the
//! pinned version of genai: run them when it changes.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test binary exports nothing, and may panic")]

mod agents;
mod cassette;
mod choosing;
mod faults;
mod keys;
mod requests;
mod seams;
mod wires;

use std::time::Duration;

use llmspell::model::{Model, ModelError, ModelEvent, Request};
use llmspell::{Context, Error, Result, Step};
use llmspell_models::{Models, RemoteModel, Wire};
use llmspell_test::fault_server::{Answer, FaultServer};

const WIRES: [Wire; 4] = [Wire::OpenAi, Wire::Anthropic, Wire::Gemini, Wire::Ollama];

/// Nothing here takes that long; a test that does hangs.
const LONG: Duration = Duration::from_secs(30);

const KEY: &str = "sk-test-0123456789abcdef";

/// No test hangs.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG, future).await.expect("it hangs")
}

async fn server(answers: impl IntoIterator<Item = Answer>) -> FaultServer {
    let server = FaultServer::start().await.unwrap();
    for answer in answers {
        server.answer(answer);
    }
    server
}

fn models(server: &FaultServer, wire: Wire) -> Models {
    Models::new().endpoint("test", wire, server.url("/v1")).key("test", KEY)
}

fn model(server: &FaultServer, wire: Wire) -> RemoteModel {
    models(server, wire).get("test/scripted").unwrap()
}

/// Everything that one request gives, up to the first error.
async fn events(model: &RemoteModel, request: impl Into<Request>) -> (Vec<ModelEvent>, Option<Error>) {
    let mut stream = model.stream(request.into(), &Context::new());
    let mut events = Vec::new();
    while let Some(event) = soon(stream.next()).await {
        match event {
            Ok(event) => events.push(event),
            Err(error) => return (events, Some(error)),
        }
    }
    (events, None)
}

/// The error that a request ends with.
async fn failure(model: RemoteModel) -> (Error, ModelError) {
    failure_in(model, &Context::new()).await
}

async fn failure_in(model: RemoteModel, cx: &Context) -> (Error, ModelError) {
    let result: Result<_> = soon(model.step().run(Request::new("Hello?"), cx)).await;
    let error = result.unwrap_err();
    let cause = error.downcast_ref::<ModelError>().cloned();
    (error, cause.expect("a ModelError"))
}
