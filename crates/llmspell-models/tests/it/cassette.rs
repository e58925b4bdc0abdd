//! Recordings replay as they were received.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::model::{
    Finish, Message, Model, ModelError, ModelErrorClass, ModelEvent, ModelStream, Options, Request, ToolCallDelta,
};
use llmspell::observe::Usage;
use llmspell::tool::Privilege;
use llmspell::{Context, Error, ErrorKind, Result, Retry, Step, Tool};
use llmspell_models::Wire;
use llmspell_test::Cassette;
use llmspell_test::fault_server::Answer;
use llmspell_test::{ScriptedModel, SimulatedModel};
use proptest::prelude::*;
use serde_json::json;
use tokio::time::Instant;

use super::{KEY, model, server, soon};

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.jsonl");
    Place { _folder: folder, path }
}

async fn said(model: &impl Model, request: impl Into<Request>) -> Vec<Result<ModelEvent>> {
    let mut stream = model.stream(request.into(), &Context::new());
    let mut all = Vec::new();
    while let Some(event) = soon(stream.next()).await {
        let is_last = matches!(event, Ok(ModelEvent::Finish(_)) | Err(_));
        all.push(event);
        if is_last {
            break;
        }
    }
    all
}

fn events(all: Vec<Result<ModelEvent>>) -> Vec<ModelEvent> {
    all.into_iter().collect::<Result<_>>().unwrap()
}

#[tokio::test]
async fn every_sort_of_event_comes_back() {
    let script = vec![
        ModelEvent::started(Some("m-1".into()), Some("r".into())),
        ModelEvent::Reasoning("Hm.\n".into()),
        ModelEvent::Text("“Ōsaka”\u{1f600}".into()),
        ModelEvent::Alive,
        ModelEvent::ToolCall(ToolCallDelta::begin(1, "c", "t").with_arguments("{\"a")),
        ModelEvent::Opaque(json!({ "wire": "x", "deep": [1, null, 0.1] })),
        ModelEvent::Usage(Usage::new(3, 4).with_cost(0.1)),
        ModelEvent::Finish(Finish::Other("why not".into())),
    ];
    let place = place();
    let recording = Cassette::record(ScriptedModel::new("p/m").sends(script.clone()), &place.path).unwrap();
    assert_eq!(events(said(&recording, "Go").await), script, "recording changes nothing");
    let playing = Cassette::replay(&place.path).unwrap();
    assert_eq!(playing.name(), "p/m");
    assert_eq!((playing.left(), playing.is_replay()), (1, true));
    assert_eq!(events(said(&playing, "Go").await), script);
    assert_eq!(playing.left(), 0);
}

#[tokio::test]
async fn the_same_request_plays_its_recordings_in_turn() {
    let place = place();
    let model = ScriptedModel::new("p/m").says("one").says("other").says("two");
    let recording = Cassette::record(model, &place.path).unwrap().step();
    for question in ["a", "b", "a"] {
        recording.run(question.into(), &Context::new()).await.unwrap();
    }
    let playing = Cassette::replay(&place.path).unwrap().step();
    let mut texts = Vec::new();
    for question in ["a", "a", "b"] {
        texts.push(playing.run(question.into(), &Context::new()).await.unwrap().text);
    }
    assert_eq!(texts, ["one", "two", "other"]);
    let error = playing.run("a".into(), &Context::new()).await.unwrap_err();
    assert!(error.message().contains("recorded 2 times"), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_request_that_is_not_there_is_told_from_the_nearest() {
    let place = place();
    let recording = Cassette::record(ScriptedModel::new("p/m").says("x").says("y"), &place.path).unwrap();
    let request = |city: &str| {
        let messages = vec![Message::system("Be brief."), Message::user(format!("The weather in {city}?"))];
        Request::of(messages).with_options(Options::new().seed(7))
    };
    said(&recording, "Something else").await;
    said(&recording, request("Oslo")).await;
    let playing = Cassette::replay(&place.path).unwrap();
    let error = said(&playing, request("Rome")).await.pop().unwrap().unwrap_err();
    assert!(
        error.message().contains("it.jsonl: this request was not recorded; the nearest, in line 3, has"),
        "{error}"
    );
    let expected = "messages[1].content[0].text: \"…eather in Oslo?\" instead of \"…eather in Rome?\"";
    assert!(error.message().ends_with(expected), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("LLMSPELL_CASSETTE=record")));
    assert!(!error.is_transient(), "no retry helps");
}

#[tokio::test]
async fn what_differs_each_time_can_be_left_out_of_the_comparison() {
    let place = place();
    let at = |time: &str| Request::of(vec![Message::system(format!("It is {time}.")), Message::user("Hello?")]);
    said(&Cassette::record(ScriptedModel::new("p/m").says("x"), &place.path).unwrap(), at("9")).await;
    let playing = Cassette::replay(&place.path).unwrap();
    assert!(said(&playing, at("10")).await[0].is_err());
    let playing = playing.matching(|request| request["messages"][0]["text"] = "".into());
    assert_eq!(events(said(&playing, at("10")).await).last(), Some(&ModelEvent::Finish(Finish::Stop)));
}

/// Each request is looked up, not compared with all that were recorded, and what is changed to compare it is changed
/// once.
#[tokio::test]
async fn a_long_cassette_is_changed_once_and_plays_in_any_order() {
    const LONG: usize = 2000;
    let place = place();
    let mut model = ScriptedModel::new("p/m");
    for n in 0..LONG {
        model = model.says(format!("answer {n}"));
    }
    let recording = Cassette::record(model, &place.path).unwrap().step();
    let question = |n: usize, time: &str| {
        Request::of(vec![Message::system(format!("It is {time}.")), Message::user(format!("question {n}"))])
    };
    for n in 0..LONG {
        recording.run(question(n, "9"), &Context::new()).await.unwrap();
    }
    let changes = Arc::new(AtomicUsize::new(0));
    let counted = changes.clone();
    let playing = Cassette::replay(&place.path).unwrap().matching(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        request["messages"][0]["text"] = "".into();
    });
    let step = playing.clone().step();
    for n in (0..LONG).rev() {
        let reply = step.run(question(n, "10"), &Context::new()).await.unwrap();
        assert_eq!(reply.text, format!("answer {n}"));
    }
    assert_eq!((changes.load(Ordering::Relaxed), playing.left()), (2 * LONG, 0));
}

#[tokio::test]
async fn errors_play_with_all_that_is_decided_on() {
    let answers = [
        Answer::status(429).header("retry-after-ms", 40).header("x-request-id", "req_9").body("slow down"),
        Answer::status(401).body(format!("bad key {KEY}")),
        Answer::says(Wire::OpenAi, "Well."),
    ];
    let server = server(answers).await;
    let place = place();
    let real = Cassette::record(model(&server, Wire::OpenAi), &place.path).unwrap();
    let mut recorded = Vec::new();
    for _ in 0..3 {
        recorded.push(said(&real, "Hello?").await.pop().unwrap());
    }
    let playing = Cassette::replay(&place.path).unwrap();
    for expected in recorded {
        let played = said(&playing, "Hello?").await.pop().unwrap();
        let story = |result: &Result<ModelEvent>| match result {
            Ok(event) => format!("{event:?}"),
            Err(error) => {
                let cause = error.downcast_ref::<ModelError>();
                format!("{error:?} {:?} {} {:?} {cause:?}", error.kind(), error.is_transient(), error.retry_after())
            }
        };
        assert_eq!(story(&played), story(&expected));
    }
    let file = std::fs::read_to_string(&place.path).unwrap();
    assert!(!file.contains(KEY), "{file}");

    // And a retry does with it what it did.
    let playing = Cassette::replay(&place.path).unwrap();
    let ask = playing.clone().step().retry(Retry::exponential());
    let error = soon(ask.run("Hello?".into(), &Context::new())).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient(), playing.left()), (ErrorKind::AllFailed, false, 1), "{error:?}");
}

#[tokio::test]
async fn errors_that_are_no_errors_of_models_play_too() {
    struct Broken;
    impl Model for Broken {
        fn name(&self) -> &str {
            "p/broken"
        }
        fn stream(&self, _: Request, _: &Context) -> ModelStream {
            ModelStream::failed(Error::new(ErrorKind::Rejected, "no").with_hint("go home"))
        }
    }
    let place = place();
    said(&Cassette::record(Broken, &place.path).unwrap(), "Hello?").await;
    let played = said(&Cassette::replay(&place.path).unwrap(), "Hello?").await.pop().unwrap().unwrap_err();
    assert_eq!((played.kind(), played.message(), played.hint()), (ErrorKind::Rejected, "no", Some("go home")));
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_that_of_the_recording_if_wanted() {
    let place = place();
    let model = SimulatedModel::new("p/m").first_token(Duration::from_secs(2), 0.0).tokens_per_second(10.0);
    said(&Cassette::record(model.reply_tokens(11), &place.path).unwrap(), "Go").await;
    let begin = Instant::now();
    said(&Cassette::replay(&place.path).unwrap(), "Go").await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    said(&Cassette::replay(&place.path).unwrap().paced(), "Go").await;
    assert!(begin.elapsed().abs_diff(Duration::from_secs(3)) < Duration::from_millis(20), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_never_ends_and_what_was_not_polled_was_not_asked() {
    let place = place();
    let recording = Cassette::record(ScriptedModel::new("p/m").hangs(), &place.path).unwrap();
    drop(recording.stream("never polled".into(), &Context::new()));
    let ask = recording.step().timeout(Duration::from_secs(1));
    ask.run("Hello?".into(), &Context::new()).await.unwrap_err();
    let playing = Cassette::replay(&place.path).unwrap();
    assert_eq!(playing.left(), 1);
    let error = playing.step().timeout(Duration::from_secs(1)).run("Hello?".into(), &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_truncated_reply_stays_truncated() {
    let place = place();
    let script = [ModelEvent::Text("Hi".into())];
    let recording = Cassette::record(ScriptedModel::new("p/m").sends(script), &place.path).unwrap();
    recording.step().run("Hello?".into(), &Context::new()).await.unwrap_err();
    let error = Cassette::replay(&place.path).unwrap().step().run("Hello?".into(), &Context::new()).await.unwrap_err();
    assert_eq!(error.downcast_ref::<ModelError>().unwrap().class, ModelErrorClass::Truncated);
}

#[tokio::test]
async fn recordings_that_go_on_side_by_side_do_not_mix() {
    let place = place();
    let model = SimulatedModel::new("p/m").reply_tokens(200).token_spread(0.0);
    let recording = Arc::new(Cassette::record(model, &place.path).unwrap());
    let asked = (0..50).map(|number| {
        let recording = recording.clone();
        llmspell::step(move |(), _| {
            let recording = recording.clone();
            async move { Ok(said(&*recording, format!("{number}")).await.len()) }
        })
    });
    let lengths = llmspell::join(asked.collect::<Vec<_>>()).run((), &Context::new()).await.unwrap();
    let playing = Cassette::replay(&place.path).unwrap();
    assert_eq!(playing.left(), 50);
    for (number, length) in lengths.into_iter().enumerate() {
        assert_eq!(said(&playing, format!("{number}")).await.len(), length);
    }
}

#[tokio::test]
async fn a_recording_that_was_killed_lacks_its_last_line_only() {
    let place = place();
    let recording = Cassette::record(ScriptedModel::new("p/m").says("one").says("two"), &place.path).unwrap();
    said(&recording, "a").await;
    said(&recording, "b").await;
    let file = std::fs::read_to_string(&place.path).unwrap();
    std::fs::write(&place.path, &file[..file.len() - 20]).unwrap();
    assert_eq!(Cassette::replay(&place.path).unwrap().left(), 1);
}

#[test]
fn what_is_no_cassette_is_told_with_its_line() {
    let place = place();
    let refused = |text: &str| {
        std::fs::write(&place.path, text).unwrap();
        Cassette::replay(&place.path).unwrap_err()
    };
    assert!(refused("").message().contains("first line"));
    assert!(refused("{\"rows\":1}\n").message().contains("first line"));
    let later = refused("{\"cassette\":2,\"model\":\"m\"}\n");
    assert!(later.message().contains("version 2"), "{later:?}");
    let bad = refused("{\"cassette\":1,\"model\":\"m\"}\n\n{\"key\":1}\n");
    assert!(bad.message().contains("it.jsonl:3:"), "{bad:?}");
    assert!(Cassette::replay("/nowhere/it.jsonl").unwrap_err().hint().is_some());
}

#[tokio::test]
async fn the_file_is_for_reading() {
    let place = place();
    said(&Cassette::record(ScriptedModel::new("p/m").says("Hi."), &place.path).unwrap(), "Hello?").await;
    let file = std::fs::read_to_string(&place.path).unwrap();
    let lines: Vec<serde_json::Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({ "cassette": 1, "model": "p/m" }));
    // The key is the same on every machine; a change of it is a change of the format.
    assert_eq!(lines[1]["key"], "dee511d4b4884b0f");
    assert_eq!(lines[1]["request"]["messages"][0]["content"][0]["text"], "Hello?");
    assert_eq!(lines[1]["events"][1][1], json!({ "text": "Hi." }));
}

#[tokio::test]
async fn what_a_model_is_not_told_of_a_tool_does_not_count() {
    let request = |security: Privilege| {
        let tool = Tool::new("look", "Looks.", |_: serde_json::Value, _| async move { Ok(1) }).security(security);
        Request::new("Look.").with_tools(vec![Arc::new(tool.spec().clone())])
    };
    let place = place();
    let recording = Cassette::record(ScriptedModel::new("p/m").says("Hi."), &place.path).unwrap();
    said(&recording, request(Privilege::Safe)).await;
    let playing = Cassette::replay(&place.path).unwrap();
    assert!(said(&playing, request(Privilege::Privileged)).await[0].is_ok());
}

fn event() -> impl Strategy<Value = ModelEvent> {
    let text = ".{0,12}";
    prop_oneof![
        text.prop_map(ModelEvent::Text),
        text.prop_map(ModelEvent::Reasoning),
        (0..3_usize, text)
            .prop_map(|(index, arguments)| { ModelEvent::ToolCall(ToolCallDelta::more(index, arguments)) }),
        any::<(u32, u32)>().prop_map(|(a, b)| ModelEvent::Usage(Usage::new(a.into(), b.into()))),
        Just(ModelEvent::Alive),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is said, in whatever order the same and other questions are asked, plays back.
    #[test]
    fn whatever_is_recorded_plays(
        turns in prop::collection::vec((0..3_u8, prop::collection::vec(event(), 0..6)), 1..8),
        temperature in 0.0..2.0_f64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = place();
            let mut model = ScriptedModel::new("p/m");
            for (_, script) in &turns {
                model = model.sends(script.clone().into_iter().chain([ModelEvent::Finish(Finish::Stop)]));
            }
            let request = |number: u8| {
                Request::new(format!("question {number}")).with_options(Options::new().temperature(temperature))
            };
            let recording = Cassette::record(model, &place.path).unwrap();
            let mut recorded = Vec::new();
            for (number, _) in &turns {
                recorded.push(events(said(&recording, request(*number)).await));
            }
            let playing = Cassette::replay(&place.path).unwrap();
            for ((number, _), expected) in turns.iter().zip(recorded) {
                assert_eq!(events(said(&playing, request(*number)).await), expected);
            }
            assert_eq!(playing.left(), 0);
        });
    }
}
