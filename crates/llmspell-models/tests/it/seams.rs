//! Models with what programs put around them: crowds that leave, hedges, policies, recordings that break off.

use std::sync::Arc;
use std::time::Duration;

use llmspell::model::{Model, Request};
use llmspell::observe::Usage;
use llmspell::{Budget, Context, Hedge, Policy, Retry, Step, race};
use llmspell_models::Wire;
use llmspell_test::Cassette;
use llmspell_test::ScriptedModel;
use llmspell_test::fault_server::{Answer, End};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{model, server, soon};

fn slowly(words: usize) -> Answer {
    let piece =
        |word: usize| json!({ "id": "req_1", "choices": [{ "index": 0, "delta": { "content": word.to_string() } }] });
    (0..words).fold(Answer::events(), |answer, word| answer.data(piece(word)).pause(Duration::from_millis(20))).stall()
}

#[tokio::test]
async fn a_recording_that_breaks_off_anywhere_plays_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.jsonl");
    let recording = Cassette::record(ScriptedModel::new("p/m").says("Oslo").says("Ōsaka 大阪"), &path).unwrap().step();
    for question in ["North?", "East?"] {
        recording.run(question.into(), &Context::new()).await.unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    for length in 0..=whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let lines = ends.iter().filter(|end| **end < length).count();
        match Cassette::replay(&path) {
            Ok(playing) => assert_eq!(Some(playing.left()), lines.checked_sub(1), "{length} bytes"),
            Err(error) => assert!(lines == 0 && error.hint().is_some(), "{length} bytes: {error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_record_at_once_and_each_plays() {
    let server = server([]).await;
    server.otherwise(Answer::says(Wire::OpenAi, "fine"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.jsonl");
    let recording = Arc::new(Cassette::record(model(&server, Wire::OpenAi), &path).unwrap().step());
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let recording = recording.clone();
        calls.spawn(async move { recording.run(Request::new((number % 50).to_string()), &Context::new()).await });
    }
    while let Some(call) = soon(calls.join_next()).await {
        call.unwrap().unwrap();
    }
    let tape = Cassette::replay(&path).unwrap();
    let playing = tape.clone().step();
    for number in (0..100).rev() {
        playing.run(Request::new((number % 50).to_string()), &Context::new()).await.unwrap();
    }
    assert_eq!(tape.left(), 0);
    assert!(!std::fs::read_to_string(&path).unwrap().contains(super::KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_leaves_leaves_nothing_open() {
    let server = server([]).await;
    server.otherwise(slowly(20));
    let step = Arc::new(model(&server, Wire::OpenAi).step());
    let mut calls = JoinSet::new();
    for number in 0..300_u64 {
        let step = step.clone();
        let patience = Duration::from_millis(number * 7919 % 700);
        calls.spawn(async move { timeout(patience, step.run(Request::new("Well?"), &Context::new())).await.is_err() });
    }
    while let Some(call) = soon(calls.join_next()).await {
        assert!(call.unwrap(), "nobody has answered to the end");
    }
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    // The server itself is one.
    soon(async {
        while tasks() > 1 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(server.requests().iter().all(|request| request.end == Some(End::Gone)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_hangs_up_and_what_is_used_is_counted_once() {
    let server = server([slowly(1), Answer::says(Wire::OpenAi, "Second.")]).await;
    // Without an estimate the first call of a budget goes alone, and a second copy waits for it.
    let budget = Budget::tokens(1_000_000).estimate(Usage::new(40, 10));
    let policy = Policy::new().hedge(Hedge::after(Duration::from_millis(100))).budget(budget.clone());
    let hedged = model(&server, Wire::OpenAi).step().idempotent().policy(policy);
    let reply = soon(hedged.run(Request::new("Who?"), &Context::new())).await.unwrap();
    assert_eq!(reply.text, "Second.");
    assert_eq!(server.ended(0, super::LONG).await, Ok(End::Gone));
    // The dropped copy reported no usage: it counts as its request, and the output so far.
    let (spent, asked) = (budget.spent(), Request::new("Who?").estimated_tokens());
    assert_eq!(spent.input_tokens, reply.usage.input_tokens + asked);
    assert!(spent.output_tokens > reply.usage.output_tokens, "{spent:?}");

    server.answer(Answer::events().pause(Duration::from_secs(20)).stall());
    server.answer(Answer::says(Wire::OpenAi, "First."));
    let ask = || model(&server, Wire::OpenAi).step();
    let reply = soon(race((ask(), ask())).first_output().run(Request::new("Who?"), &Context::new())).await.unwrap();
    assert_eq!(reply.text, "First.");
    let ends = [server.ended(2, super::LONG).await.unwrap(), server.ended(3, super::LONG).await.unwrap()];
    assert!(ends.contains(&End::Gone) && ends.contains(&End::Complete), "{ends:?}");
}

#[tokio::test]
async fn a_stream_that_stalls_is_hung_up_on_and_asked_again() {
    let server = server([slowly(1), Answer::says(Wire::OpenAi, "whole")]).await;
    let (first, idle) = (Duration::from_secs(10), Duration::from_millis(100));
    let patient = model(&server, Wire::OpenAi).step().idle_timeout(first, idle).retry(Retry::exponential());
    let reply = soon(patient.run(Request::new("Well?"), &Context::new())).await.unwrap();
    assert_eq!(reply.text, "whole");
    assert_eq!(server.ended(0, super::LONG).await, Ok(End::Gone));
}
