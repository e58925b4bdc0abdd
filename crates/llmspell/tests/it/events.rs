//! Events: complete, typed, and harmless to the run.

use std::sync::{Arc, Mutex};

use llmspell::{Context, Event, Retry, Step, race};
use llmspell_test::FakeTool;

use crate::probe::{Probe, ms};

fn collect() -> (Context, Arc<Mutex<Vec<Event>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    (Context::new().with_sink(move |event: &Event| log.lock().unwrap().push(event.clone())), seen)
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_story_of_a_race() {
    let (cx, seen) = collect();
    let contest = race((Probe::fails(10, "down").named("a"), Probe::ok(20).named("b"), Probe::ok(30).named("c")));
    contest.named("contest").run(0, &cx).await.unwrap();
    let story: Vec<String> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|event| {
            let fact = serde_json::to_value(&event.fact).unwrap();
            format!("{} {} {}", event.at.as_millis(), event.path, fact["event"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        story,
        [
            "0 contest started",
            "0 contest.a started",
            "0 contest.b started",
            "0 contest.c started",
            "10 contest.a failed",
            "10 contest race_failed",
            "20 contest.b finished",
            "20 contest.c cancelled",
            "20 contest race_won",
            "20 contest race_lost",
            "20 contest finished",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn events_survive_json() {
    let cx = Context::recording();
    let flaky = FakeTool::<usize>::new("flaky").delay(ms(10)).fails_first(2).limit(1);
    flaky.retry(Retry::exponential().max_attempts(2)).stream(0..3, &cx).collect().await;
    let events = cx.events();
    assert!(events.len() > 10);
    for event in events {
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.starts_with(r#"{"v":1,"at_ms":"#), "{text}");
        let back: Event = serde_json::from_str(&text).unwrap();
        // Times are kept to the microsecond.
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_can_be_added_anywhere() {
    let (cx, canceller) = Context::recording().cancellable();
    let (cx, mut chunks) = cx.with_chunks(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let cx = cx.with_sink(move |event: &Event| log.lock().unwrap().push(event.clone()));
    let step = llmspell::step(|(), cx: Context| async move { cx.emit("word").await });
    step.named("inner").run((), &cx).await.unwrap();
    assert!(chunks.next().await.is_some(), "the reader of chunks is still there");
    canceller.cancel();
    assert!(cx.is_cancelled(), "and so is the means to cancel");
    assert_eq!(seen.lock().unwrap().len(), 2);
    assert_eq!(cx.report().steps[0].ok, 1, "and the recording");
}
