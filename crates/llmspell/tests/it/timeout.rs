//! Timeouts, deadlines, idle timeouts and fallbacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::observe::{Quality, ServedBy};
use llmspell::{Context, Error, ErrorKind, Retry, Step, step, value};
use tokio::time::{Instant, sleep};

use crate::probe::{Probe, Watch, ms};

#[tokio::test(start_paused = true)]
async fn timeout_cancels_the_work() {
    let (watch, started) = (Watch::default(), Instant::now());
    let error = Probe::ok(2000).watched(&watch).timeout(ms(1000)).run(0, &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Timeout, "timed out after 1 s"));
    assert!(error.is_transient());
    assert_eq!(started.elapsed(), ms(1000));
    assert_eq!((watch.begun(), watch.alive(), watch.completed()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_can_have_its_own_timeout() {
    let started = Instant::now();
    let retried =
        Probe::ok(2000).timeout([ms(1000), ms(3000)]).retry(Retry::immediately().max_attempts(5)).with_outcome();
    let outcome = retried.run(9, &Context::new()).await.unwrap();
    assert_eq!(outcome.result.unwrap(), 9);
    assert_eq!(outcome.quality, Quality::Full);
    assert_eq!(outcome.provenance.retries, 1);
    assert_eq!(outcome.causes[0].kind(), ErrorKind::Timeout);
    assert_eq!(started.elapsed(), ms(3000));
}

#[tokio::test(start_paused = true)]
async fn deadline_covers_all_attempts() {
    let started = Instant::now();
    let step = Probe::ok(2000).timeout(ms(400)).retry(Retry::immediately().max_attempts(100)).deadline(ms(1000));
    let error = step.run(0, &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::AllFailed, 3));
    assert_eq!(error.causes()[2].message(), "cancelled by the deadline of an outer step");
    assert_eq!(started.elapsed(), ms(1000));
}

#[tokio::test(start_paused = true)]
async fn inner_timeout_only_tightens() {
    let seen = step(|(), cx: Context| async move { Ok(cx.remaining()) });
    let loose = seen.timeout(ms(5000)).timeout(ms(1000));
    assert_eq!(loose.run((), &Context::new()).await.unwrap(), Some(ms(1000)));

    let started = Instant::now();
    let error = Probe::ok(9000).timeout(ms(5000)).timeout(ms(1000)).run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(started.elapsed(), ms(1000));
}

#[tokio::test(start_paused = true)]
async fn timeout_of_duration_max_never_fires() {
    let forever = Probe::ok(10).timeout(std::time::Duration::MAX);
    assert_eq!(forever.run(1, &Context::new()).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn missing_first_output_is_a_timeout() {
    let silent = step(|(), cx: Context| async move {
        for _ in 0..100 {
            sleep(ms(10)).await;
            cx.heartbeat(); // a sign of life, but no output
        }
        Ok(())
    });
    let started = Instant::now();
    let error = silent.idle_timeout(ms(100), ms(500)).run((), &Context::new()).await.unwrap_err();
    assert_eq!(error.message(), "no output within 100 ms");
    assert_eq!(started.elapsed(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_reset_the_idle_timeout() {
    let emitting = |count: u64| {
        step(move |(), cx: Context| async move {
            for n in 0..count {
                sleep(ms(80)).await;
                if n % 2 == 0 { cx.emit("word").await? } else { cx.heartbeat() }
            }
            sleep(ms(300)).await;
            Ok(())
        })
    };
    let started = Instant::now();
    let error = emitting(10).idle_timeout(ms(100), ms(100)).run((), &Context::new()).await.unwrap_err();
    assert_eq!(error.message(), "no sign of life for 100 ms");
    assert_eq!(started.elapsed(), ms(900));
    assert!(emitting(10).idle_timeout(ms(100), ms(400)).run((), &Context::new()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn fallback_result_is_marked() {
    let degrading = Probe::fails(10, "down").fallback(value(42usize)).named("answer").with_outcome();
    let outcome = degrading.run(0, &Context::new()).await.unwrap();
    assert_eq!(outcome.quality, Quality::Fallback);
    assert!(outcome.is_degraded());
    assert_eq!(outcome.causes[0].to_string(), "answer: down");
    assert_eq!(outcome.provenance.choices[0].served_by, ServedBy::Fallback { name: None });
    assert_eq!(outcome.provenance.choices[0].path.as_str(), "answer");
    assert_eq!(outcome.result.unwrap(), 42);
}

#[tokio::test(start_paused = true)]
async fn unused_fallback_leaves_no_provenance() {
    let outcome = Probe::ok(10).fallback(value(42usize)).with_outcome().run(1, &Context::new()).await.unwrap();
    assert_eq!((outcome.quality, outcome.causes.len()), (Quality::Full, 0));
    assert_eq!(outcome.result.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn failed_fallback_keeps_both_errors() {
    let error = Probe::fails(10, "down").fallback(Probe::fails(10, "also down")).run(0, &Context::new()).await;
    let error = error.unwrap_err();
    assert_eq!(error.message(), "also down");
    assert_eq!(error.causes()[0].message(), "down");
}

#[tokio::test(start_paused = true)]
async fn cancelled_work_gets_no_fallback() {
    let cancelled = step(|_: usize, _| async move { Err::<usize, _>(Error::new(ErrorKind::Cancelled, "stop")) });
    let error = cancelled.fallback(value(1usize)).run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn partial_result_is_marked() {
    let partial = step(|(), cx: Context| async move {
        cx.mark_partial(Error::failed("page 3 is missing"));
        Ok("pages 1 and 2")
    });
    let outcome = partial.with_outcome().run((), &Context::new()).await.unwrap();
    assert_eq!(outcome.quality, Quality::Partial);
    assert_eq!(outcome.causes[0].message(), "page 3 is missing");
}

#[tokio::test(start_paused = true)]
async fn errors_name_the_step_they_happened_in() {
    let inner = Probe::fails(1, "no").named("fetch");
    let error = inner.timeout(ms(100)).named("triage").run(0, &Context::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "triage.fetch: no");

    let slow = Probe::ok(1000).named("fetch").timeout(ms(10)).named("triage");
    let slow = Arc::new(slow);
    assert_eq!(slow.run(0, &Context::new()).await.unwrap_err().to_string(), "triage: timed out after 10 ms");
    // The same step in another place has another path.
    let elsewhere = slow.clone().named("elsewhere").run(0, &Context::new()).await.unwrap_err();
    assert_eq!(elsewhere.to_string(), "elsewhere.triage: timed out after 10 ms");
    assert_eq!(slow.run(0, &Context::new()).await.unwrap_err().path().unwrap().as_str(), "triage");
}

/// The usual setting: a long timeout for the first output, and a short idle timeout.
#[tokio::test(start_paused = true)]
async fn idle_timeout_fires_before_a_longer_first_output_timeout() {
    let emits_once = step(|(), cx: Context| async move {
        cx.emit("word").await?;
        std::future::pending::<()>().await;
        Ok(())
    });
    let started = Instant::now();
    let error = emits_once.idle_timeout(ms(30_000), ms(1000)).run((), &Context::new()).await.unwrap_err();
    assert_eq!(error.message(), "no sign of life for 1 s");
    assert_eq!(started.elapsed(), ms(1000));
}

#[tokio::test(start_paused = true)]
async fn duration_max_is_accepted_everywhere() {
    let forever = std::time::Duration::MAX;
    let cx = Context::new();
    assert!(Probe::ok(10).idle_timeout(forever, forever).run(1, &cx).await.is_ok());
    assert!(Probe::ok(10).idempotent().hedge(llmspell::Hedge::after(forever)).run(1, &cx).await.is_ok());
    let retry = Probe::fails(10, "no").retry(Retry::delays([forever]).when(|_| true)).deadline(ms(1000));
    assert!(retry.run(1, &cx).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn provenance_of_a_failed_attempt_does_not_count() {
    let calls = AtomicUsize::new(0);
    let twice = step(move |n: usize, _| {
        let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { Err(Error::failed("again").transient()) } else { Ok(n) } }
    });
    let first_calls = AtomicUsize::new(0);
    let degrading = step(move |n: usize, _| {
        let first = first_calls.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { Err(Error::failed("down")) } else { Ok(n) } }
    });
    // The first attempt uses a fallback and then fails; the second attempt succeeds without one.
    let step = degrading.fallback(value(9usize)).then(twice).retry(Retry::immediately()).with_outcome();
    let outcome = step.run(1, &Context::new()).await.unwrap();
    assert_eq!((outcome.result.unwrap(), outcome.quality), (1, Quality::Full));
    assert!(outcome.provenance.choices.is_empty());
    assert_eq!(outcome.provenance.retries, 1);
}

#[tokio::test(start_paused = true)]
async fn slow_reader_does_not_trigger_the_idle_timeout() {
    let (cx, mut chunks) = Context::new().with_chunks(1);
    let emitting = step(|(), cx: Context| async move {
        for n in 0..5 {
            cx.emit(n).await?;
        }
        Ok(())
    });
    let step = emitting.idle_timeout(ms(100), ms(100));
    let read = async {
        let mut read = 0;
        while read < 5 && chunks.next().await.is_some() {
            sleep(ms(300)).await;
            read += 1;
        }
    };
    let (result, ()) = tokio::join!(step.run((), &cx), read);
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn outcome_names_the_fallback_that_served_and_prior_attempts() {
    let retried = || Retry::immediately().max_attempts(3).when(|_| true);
    let step = Probe::fails(10, "down").retry(retried());
    let step = step.fallback(Probe::fails(10, "down, too").retry(retried()).named("second"));
    let outcome = step.fallback(value(3usize).named("third")).with_outcome().run(0, &Context::new()).await.unwrap();
    assert_eq!((outcome.result.unwrap(), outcome.quality), (3, Quality::Fallback));
    assert_eq!(outcome.provenance.retries, 4, "two retries of the step, and two of its first fallback");
    let [choice] = outcome.provenance.choices.as_slice() else { panic!("{:?}", outcome.provenance.choices) };
    assert_eq!(choice.served_by, ServedBy::Fallback { name: Some("third".to_owned()) });
}
