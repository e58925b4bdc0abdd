//! What a context tells of the work below it can be scrubbed, wherever it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::{Breaker, ChunkData, Context, Error, Event, Retry, Step, race, step};
use serde_json::json;

const SECRET: &str = "hunter2";

fn scrub(text: &str) -> Option<String> {
    text.contains(SECRET).then(|| text.replace(SECRET, "***"))
}

fn told(message: &str) -> Error {
    Error::failed(format!("{message}: {SECRET}")).transient()
}

fn fails() -> impl Step<In = (), Out = ()> {
    step(|(), _| async { Err::<(), _>(told("no")) }).named("fails")
}

#[tokio::test(start_paused = true)]
async fn no_event_has_what_is_scrubbed() {
    let seen = Arc::<Mutex<Vec<Event>>>::default();
    let cx = Context::recording();
    let quiet = cx.scrubbing(scrub);
    // Who listens from within hears no more than who listens from without.
    let sink = seen.clone();
    let quiet = quiet.with_sink(move |event: &Event| sink.lock().unwrap().push(event.clone()));
    let tried =
        fails().retry(Retry::immediately().max_attempts(2)).breaker(Breaker::builder().consecutive_failures(1).build());
    let degrades = step(|(), cx: Context| async move {
        cx.mark_partial(told("less"));
        Err(told("in vain"))
    });
    let panics = step(|(), _| async { panic!("panic: {SECRET}") }).catch_panic();
    let all = race(vec![tried.boxed(), degrades.boxed(), panics.boxed()]).fallback(step(|(), _| async { Ok(()) }));
    all.timeout(Duration::from_secs(1)).run((), &quiet).await.unwrap();
    let mut stream =
        fails().stream(vec![(); 9], &quiet).limit(1).breaker(Breaker::builder().consecutive_failures(2).build());
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
async fn no_chunk_has_what_is_scrubbed() {
    let (cx, mut chunks) = Context::new().with_chunks(8);
    let shows = step(|(), cx: Context| async move {
        cx.emit(json!({ SECRET: ["a hunter2", 5, null] })).await?;
        Ok(())
    });
    shows.run((), &cx.scrubbing(scrub)).await.unwrap();
    assert_eq!(chunks.next().await.unwrap().data, ChunkData::Output(json!({ "***": ["a ***", 5, null] })));
}
