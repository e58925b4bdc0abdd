//! A redactor applies to everything that is observed below its context.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::context::ChunkData;
use llmspell::observe::Event;
use llmspell::{Breaker, Context, Error, Retry, Step, race, step};
use serde_json::json;

const SECRET: &str = "hunter2";

fn redact(text: &str) -> Option<String> {
    text.contains(SECRET).then(|| text.replace(SECRET, "***"))
}

fn secret_error(message: &str) -> Error {
    Error::failed(format!("{message}: {SECRET}")).transient()
}

fn fails() -> impl Step<In = (), Out = ()> {
    step(|(), _| async { Err::<(), _>(secret_error("no")) }).named("fails")
}

#[tokio::test(start_paused = true)]
async fn events_are_redacted() {
    let seen = Arc::<Mutex<Vec<Event>>>::default();
    let cx = Context::recording();
    let redacting = cx.with_redactor(redact);
    // A sink added below the redactor sees redacted events as well.
    let sink = seen.clone();
    let redacting = redacting.with_sink(move |event: &Event| sink.lock().unwrap().push(event.clone()));
    let retried =
        fails().retry(Retry::immediately().max_attempts(2)).breaker(Breaker::builder().consecutive_failures(1).build());
    let degrades = step(|(), cx: Context| async move {
        cx.mark_partial(secret_error("less"));
        Err(secret_error("failed"))
    });
    let panics = step(|(), _| async { panic!("panic: {SECRET}") }).catch_panic();
    let all = race(vec![retried.boxed(), degrades.boxed(), panics.boxed()]).fallback(step(|(), _| async { Ok(()) }));
    all.timeout(Duration::from_secs(1)).run((), &redacting).await.unwrap();
    let mut stream =
        fails().stream(vec![(); 9], &redacting).limit(1).breaker(Breaker::builder().consecutive_failures(2).build());
    while stream.next().await.is_some() {}
    for events in [cx.events(), seen.lock().unwrap().clone()] {
        let text = serde_json::to_string(&events).unwrap();
        assert!(!text.contains(SECRET), "{text}");
        for word in ["attempt_failed", "degraded", "race_failed", "fell_back", "breaker_opened", "stream_stopped"] {
            assert!(text.contains(&format!("\"event\":\"{word}\"")), "{word}: {text}");
        }
        assert!(text.contains("no: ***") && text.contains("panic: ***"), "{text}");
    }
}

#[tokio::test]
async fn chunks_are_redacted() {
    let (cx, mut chunks) = Context::new().with_chunks(8);
    let emits = step(|(), cx: Context| async move {
        cx.emit(json!({ SECRET: ["a hunter2", 5, null] })).await?;
        Ok(())
    });
    emits.run((), &cx.with_redactor(redact)).await.unwrap();
    assert_eq!(chunks.next().await.unwrap().data, ChunkData::Output(json!({ "***": ["a ***", 5, null] })));
}
