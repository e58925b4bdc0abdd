//! Retries: which errors, how often, after what delay, and within which budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use llmspell::context::ChunkData;
use llmspell::{Context, Error, ErrorKind, Retry, Step, step, value};
use llmspell_test::FakeTool;
use tokio::time::Instant;

use crate::probe::{busy, failing, ms, waits};

#[tokio::test(start_paused = true)]
async fn transient_error_is_retried_until_success() {
    let flaky = FakeTool::<u32>::new("flaky").fails_first(2).retry(Retry::exponential()).with_outcome();
    let outcome = flaky.run(5, &Context::new()).await.unwrap();
    assert_eq!(outcome.result.unwrap(), 5);
    assert_eq!((outcome.provenance.retries, outcome.causes.len()), (2, 2));
    assert_eq!(outcome.causes[0].to_string(), "flaky: simulated failure");
}

#[tokio::test(start_paused = true)]
async fn exhausted_retry_keeps_all_attempts() {
    let (step, calls) = failing(busy());
    let error = step.retry(Retry::exponential().max_attempts(4)).run(0, &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts(), error.causes().len()), (ErrorKind::AllFailed, 4, 4));
    assert_eq!(error.message(), "gave up after 4 attempts: busy");
    assert_eq!(calls.lock().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn unclassified_error_is_not_retried() {
    let parse = step(|text: String, _| async move { Ok(text.parse::<u32>()?) });
    let error = parse.retry(Retry::exponential()).run("x".into(), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Failed, 1));
    assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());

    let (step, calls) = failing(Error::failed("unknown"));
    let step = step.retry(Retry::immediately().when(|error| error.message() == "unknown"));
    step.run(0, &Context::new()).await.unwrap_err();
    assert_eq!(calls.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn schedule_is_followed_exactly() {
    let (step, calls) = failing(busy());
    let error = step.retry(Retry::delays([ms(1000), ms(3000)])).run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.attempts(), 3);
    assert_eq!(waits(&calls), [ms(1000), ms(3000)]);
}

#[tokio::test(start_paused = true)]
async fn exponential_delays_double_up_to_the_maximum() {
    let (step, calls) = failing(busy());
    let policy = Retry::exponential().base(ms(100)).max_wait(ms(500)).without_jitter().max_attempts(6);
    step.retry(policy).run(0, &Context::new()).await.unwrap_err();
    assert_eq!(waits(&calls), [ms(100), ms(200), ms(400), ms(500), ms(500)]);
}

#[tokio::test(start_paused = true)]
async fn short_retry_after_is_honoured() {
    let (step, calls) = failing(Error::failed("429").with_retry_after(ms(7000)));
    let policy = Retry::exponential().base(ms(1)).max_attempts(2);
    step.retry(policy).run(0, &Context::new()).await.unwrap_err();
    let wait = waits(&calls)[0];
    assert!(wait >= ms(7000) && wait < ms(7010), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn long_retry_after_ends_the_attempts_and_the_fallback_serves() {
    let (step, calls) = failing(Error::failed("429").with_retry_after(Duration::from_secs(600)));
    let started = Instant::now();
    let step = step.retry(Retry::exponential()).fallback(value(1u32)).with_outcome();
    let outcome = step.run(0, &Context::new()).await.unwrap();
    assert_eq!(outcome.result.unwrap(), 1);
    assert!(outcome.causes[0].message().contains("the error asks to wait 10 min"), "{}", outcome.causes[0]);
    assert_eq!((calls.lock().unwrap().len(), started.elapsed()), (1, ms(0)));
}

#[tokio::test(start_paused = true)]
async fn retry_past_the_deadline_is_not_started() {
    let (step, calls) = failing(busy());
    let started = Instant::now();
    let step = step.retry(Retry::delays([ms(1000), ms(1000)])).deadline(ms(1500));
    let error = step.run(0, &Context::new()).await.unwrap_err();
    assert!(error.message().contains("does not fit before the deadline"), "{error}");
    assert_eq!((calls.lock().unwrap().len(), started.elapsed()), (2, ms(1000)));
}

#[tokio::test(start_paused = true)]
async fn each_stream_item_has_its_own_retry_budget() {
    let (step, calls) = failing(busy());
    step.retry(Retry::immediately().max_attempts(3)).stream(0..10, &Context::new()).collect().await;
    assert_eq!(calls.lock().unwrap().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn step_sees_its_attempt_number() {
    let attempts = Arc::new(AtomicU32::new(0));
    let seen = attempts.clone();
    let step = step(move |(), cx: Context| {
        seen.fetch_add(10u32.pow(cx.attempt() - 1) * cx.attempt(), Ordering::SeqCst);
        async { Err::<(), _>(busy()) }
    });
    step.retry(Retry::immediately()).run((), &Context::new()).await.unwrap_err();
    assert_eq!(attempts.load(Ordering::SeqCst), 321);
}

#[tokio::test(start_paused = true)]
async fn cancelled_work_is_not_retried() {
    let (cx, canceller) = Context::new().cancellable();
    let (step, calls) = failing(busy());
    canceller.cancel();
    step.retry(Retry::immediately()).run(0, &cx).await.unwrap_err();
    assert_eq!(calls.lock().unwrap().len(), 1);
}

fn emits_then_fails() -> impl Step<In = (), Out = ()> {
    step(|(), cx: Context| async move {
        cx.emit(format!("attempt {}", cx.attempt())).await?;
        if cx.attempt() < 3 { Err(busy()) } else { Ok(()) }
    })
}

#[tokio::test(start_paused = true)]
async fn failure_after_seen_output_is_final() {
    let (cx, mut chunks) = Context::new().with_chunks(8);
    let error = emits_then_fails().retry(Retry::immediately()).run((), &cx).await.unwrap_err();
    assert!(error.message().contains("a reader has already seen its output"), "{error}");
    drop(cx);
    assert_eq!(chunks.next().await.unwrap().data, ChunkData::Output("attempt 1".into()));
    assert!(chunks.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn unseen_output_does_not_prevent_a_retry() {
    emits_then_fails().retry(Retry::immediately()).run((), &Context::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn retry_after_output_sends_restarted() {
    let (cx, mut chunks) = Context::new().with_chunks(8);
    emits_then_fails().retry(Retry::immediately().after_output()).run((), &cx).await.unwrap();
    drop(cx);
    let mut seen = Vec::new();
    while let Some(chunk) = chunks.next().await {
        seen.push((chunk.attempt, chunk.data));
    }
    let output = |n: u32| (n, ChunkData::Output(format!("attempt {n}").into()));
    assert_eq!(seen, [output(1), (2, ChunkData::Restarted), output(2), (3, ChunkData::Restarted), output(3)]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_applies_to_outer_retries() {
    let (step, calls) = failing(Error::failed("429").with_retry_after(Duration::from_secs(60)));
    let started = Instant::now();
    let error = step.retry(Retry::exponential()).retry(Retry::exponential()).run(0, &Context::new()).await;
    assert_eq!(error.unwrap_err().retry_after(), Some(Duration::from_secs(60)));
    assert_eq!((calls.lock().unwrap().len(), started.elapsed()), (1, ms(0)));
}

#[tokio::test(start_paused = true)]
async fn failed_retries_are_counted() {
    let (step, _) = failing(busy());
    let outcome = step.retry(Retry::immediately()).with_outcome().run(0, &Context::new()).await.unwrap();
    assert_eq!((outcome.is_ok(), outcome.provenance.retries), (false, 2));

    let (step, _) = failing(busy());
    let step = step.retry(Retry::immediately()).fallback(value(1u32)).with_outcome();
    let outcome = step.run(0, &Context::new()).await.unwrap();
    assert_eq!((outcome.is_ok(), outcome.provenance.retries), (true, 2));
}
