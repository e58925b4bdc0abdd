//! A cassette: what a real model said once, recorded with the tests and played back ever after, without network or key.
//!
//! Copy: `Cassette::auto` with a closure that makes the real model. The first run records; every other run plays, and the
//! closure is not called. `LLMSPELL_CASSETTE=record cargo test` records anew, after a prompt or a tool has changed.
//!
//! The provider here is a server of the test's own that speaks as OpenAI does, and fails once: nothing needs a key. For
//! you, it is `llmspell_models::model("openai/gpt-5-mini")`.

use integration_test_example::desk;
use llmspell::agent::AgentReply;
use llmspell::model::Model;
use llmspell::{Context, ErrorKind, Outcome, Result, Step};
use llmspell_models::{Models, Wire};
use llmspell_test::Cassette;
use llmspell_test::fault_server::{Answer, FaultServer};
use serde_json::json;

use crate::shop::shop;

/// Kept with the tests.
const CASSETTE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cassettes/refund.jsonl");

const QUESTION: &str = "I want my money back for A-17.";

/// A server that has no room at first, then looks the order up, and pays it back.
async fn provider() -> Result<FaultServer> {
    let server = FaultServer::start().await?;
    server.answer(Answer::status(503).header("retry-after-ms", "20"));
    server.answer(Answer::calls(Wire::OpenAi, "order", &json!({ "order": "A-17" })));
    server.answer(Answer::calls(Wire::OpenAi, "refund", &json!({ "order": "A-17", "amount": 4_200 })));
    server.answer(Answer::says(Wire::OpenAi, "You have your 42 € back."));
    Ok(server)
}

fn model(server: &FaultServer) -> Result<impl Model> {
    Models::new().endpoint("fault", Wire::OpenAi, server.url("/v1")).get("fault/desk")
}

async fn refund(model: impl Model) -> Result<Outcome<AgentReply>> {
    desk(model, shop())?.with_outcome().run(QUESTION.into(), &Context::new()).await
}

#[tokio::test]
async fn the_recorded_conversation_still_goes_as_it_went() {
    let server = provider().await.unwrap();
    let cassette = Cassette::auto(|| model(&server), CASSETTE).unwrap();
    let outcome = refund(cassette.clone()).await.unwrap();

    // The overload was recorded, too: the desk asks again, as it did then.
    assert_eq!((outcome.provenance.retries, outcome.causes[0].kind()), (1, ErrorKind::Overloaded));
    let reply = outcome.result.unwrap();
    assert_eq!((reply.text.as_str(), reply.tool_calls), ("You have your 42 € back.", 2));
    if cassette.is_replay() {
        assert_eq!((cassette.left(), server.requests().len()), (0, 0)); // everything was replayed, without a request
    }
}

#[tokio::test]
async fn what_was_recorded_plays_without_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("refund.jsonl");
    let server = provider().await.unwrap();
    let recorded = refund(Cassette::record(model(&server).unwrap(), &path).unwrap()).await.unwrap().result.unwrap();
    assert_eq!(server.requests().len(), 4);
    drop(server);

    let played = refund(Cassette::replay(&path).unwrap()).await.unwrap().result.unwrap();
    assert_eq!(played, recorded); // the text, the whole conversation, the usage

    // A question that was not recorded is told from the nearest one that was.
    let desk = desk(Cassette::replay(&path).unwrap(), shop()).unwrap();
    let error = desk.run("I want my money back for B-20.".into(), &Context::new()).await.unwrap_err();
    let report = format!("{error:#}");
    assert!(report.contains("B-20") && report.contains("A-17"), "{report}");
}
