//! Events are complete and typed, and sinks do not affect the run.

use std::sync::{Arc, Mutex};

use llmspell::observe::Event;
use llmspell::{Context, Retry, Step, race};
use llmspell_test::FakeTool;

use crate::probe::{Probe, ms};

fn collect() -> (Context, Arc<Mutex<Vec<Event>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    (Context::new().with_sink(move |event: &Event| log.lock().unwrap().push(event.clone())), seen)
}

#[tokio::test(start_paused = true)]
async fn race_has_all_its_events() {
    let (cx, seen) = collect();
    let race_step = race((Probe::fails(10, "down").named("a"), Probe::ok(20).named("b"), Probe::ok(30).named("c")));
    race_step.named("race").run(0, &cx).await.unwrap();
    let events: Vec<String> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|event| {
            let value = serde_json::to_value(&event.fact).unwrap();
            format!("{} {} {}", event.at.as_millis(), event.path, value["event"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        events,
        [
            "0 race started",
            "0 race.a started",
            "0 race.b started",
            "0 race.c started",
            "10 race.a failed",
            "10 race race_failed",
            "20 race.b finished",
            "20 race.c cancelled",
            "20 race race_won",
            "20 race race_lost",
            "20 race finished",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn events_round_trip_through_json() {
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
async fn sink_can_be_added_at_any_level() {
    let (cx, canceller) = Context::recording().cancellable();
    let (cx, mut chunks) = cx.with_chunks(1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let cx = cx.with_sink(move |event: &Event| log.lock().unwrap().push(event.clone()));
    let step = llmspell::step(|(), cx: Context| async move { cx.emit("word").await });
    step.named("inner").run((), &cx).await.unwrap();
    assert!(chunks.next().await.is_some(), "the reader of chunks is kept");
    canceller.cancel();
    assert!(cx.is_cancelled(), "the canceller is kept");
    assert_eq!(seen.lock().unwrap().len(), 2);
    assert_eq!(cx.report().steps[0].ok, 1, "the recorder is kept");
}
