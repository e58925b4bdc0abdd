//! Denied calls: a stream stops pulling inputs when every call is denied.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::observe::EventKind;
use llmspell::{Breaker, Context, Error, ErrorKind, Result, Retry, Step, step};
use tokio::time::sleep;

use crate::probe::{Watch, ms};

fn denied() -> Error {
    Error::denied("402 Payment Required").with_hint("pay the bill")
}

/// A step that takes 10 ms, and is denied from the given input on.
fn paid_until(end: usize, watch: &Watch) -> impl Step<In = usize, Out = usize> + use<> {
    let watch = watch.clone();
    step(move |n: usize, _| {
        let alive = watch.enter();
        async move {
            sleep(ms(10)).await;
            alive.complete();
            if n < end { Ok(n) } else { Err(denied()) }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_stream_stops_pulling_and_delivers_what_is_in_flight() {
    for ordered in [false, true] {
        let (watch, cx) = (Watch::default(), Context::recording());
        let pulled = Arc::new(AtomicUsize::new(0));
        let counter = pulled.clone();
        let source = (0..1_000_000).inspect(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let stream = paid_until(100, &watch).named("ask").stream(source, &cx).limit(8).breaker(Breaker::on_denied());
        let mut stream = if ordered { stream.ordered() } else { stream };
        let (mut ok, mut failed) = (0, 0);
        while let Some(outcome) = stream.next().await {
            match outcome.result {
                Ok(_) => ok += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Denied, "no pulled input is rejected: all are delivered");
                    failed += 1;
                }
            }
        }
        assert_eq!(ok, 100);
        assert!((3..=3 + 8 + 2).contains(&failed), "{failed}");
        assert_eq!((watch.begun(), pulled.load(Ordering::SeqCst)), (ok + failed, ok + failed));
        let stopped = stream.stopped().unwrap();
        assert_eq!(stopped.kind(), ErrorKind::Rejected);
        assert_eq!(
            stopped.to_string(),
            "not called: the breaker is open because 3 calls in a row failed, most recently: ask: 402 Payment Required"
        );
        assert_eq!((stopped.hint(), stopped.causes()[0].kind()), (Some("pay the bill"), ErrorKind::Denied));
        let facts: Vec<_> = cx.events().into_iter().map(|event| event.fact).collect();
        assert_eq!(facts.iter().filter(|fact| matches!(fact, EventKind::BreakerOpened { wait: None, .. })).count(), 1);
        assert_eq!(facts.iter().filter(|fact| matches!(fact, EventKind::StreamStopped { .. })).count(), 1);
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_at_the_end_of_a_retry_counts() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let flaky = step(move |_: usize, _| {
        let even = attempts.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        async move { Err::<(), _>(if even { Error::overloaded("503") } else { denied() }) }
    });
    let step = flaky.retry(Retry::immediately().max_attempts(2));
    let mut stream = step.stream(0.., &Context::new()).limit(1).breaker(Breaker::on_denied());
    let mut outcomes = 0;
    while let Some(outcome) = stream.next().await {
        assert_eq!(outcome.result.unwrap_err().kind(), ErrorKind::AllFailed);
        outcomes += 1;
    }
    assert_eq!(outcomes, 3);
}

#[tokio::test(start_paused = true)]
async fn other_failures_do_not_open_it() {
    let fails = step(|n: usize, _| async move {
        match n % 4 {
            0 => Err::<(), _>(Error::overloaded("503")),
            1 => Err(Error::failed("500").transient()),
            2 => panic!("{n}"),
            _ => Err(Error::new(ErrorKind::Timeout, "late")),
        }
    });
    let mut stream = fails.stream(0..500, &Context::new()).breaker(Breaker::on_denied());
    let mut outcomes = 0;
    while stream.next().await.is_some() {
        outcomes += 1;
    }
    assert_eq!((outcomes, stream.stopped().is_none()), (500, true));
}

#[tokio::test(start_paused = true)]
async fn half_of_many_denied_calls_open_it_without_three_in_a_row() {
    let half = step(|n: usize, _| async move { if n.is_multiple_of(2) { Ok(()) } else { Err(denied()) } });
    let mut stream = half.stream(0.., &Context::new()).limit(1).breaker(Breaker::on_denied());
    let mut outcomes = 0;
    while stream.next().await.is_some() {
        outcomes += 1;
    }
    assert_eq!(outcomes, 20);
    let stopped = stream.stopped().unwrap().to_string();
    assert!(stopped.contains("10 of 20 calls failed within 30 s (50 %)"), "{stopped}");
}

#[tokio::test(start_paused = true)]
async fn a_few_denied_calls_among_many_do_not_open_it() {
    let tenth = step(|n: usize, _| async move { if n.is_multiple_of(10) { Err(denied()) } else { Ok(()) } });
    let outcomes = tenth.stream(0..1000, &Context::new()).breaker(Breaker::on_denied()).collect().await;
    assert_eq!(outcomes.len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn streams_can_share_a_breaker_and_start_again_after_a_reset() {
    let breaker = Breaker::on_denied();
    let work = || paid_until(0, &Watch::default()).stream(0.., &Context::new()).limit(2).breaker(breaker.clone());
    let (first, second) = tokio::join!(work().collect(), work().collect());
    assert!(first.len() + second.len() < 12, "{} and {}", first.len(), second.len());
    let mut third = work();
    assert!(third.next().await.is_none());
    assert!(third.stopped().is_some());
    assert_eq!(third.pulled(), 0, "it pulls nothing");
    breaker.reset(&Context::new());
    let again = paid_until(usize::MAX, &Watch::default()).stream(0..10, &Context::new()).breaker(breaker);
    assert_eq!(again.try_collect().await.unwrap().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_complete_stream_was_not_stopped() {
    let mut stream = paid_until(10, &Watch::default()).stream(0..10, &Context::new()).breaker(Breaker::on_denied());
    let mut outs: Result<Vec<_>> = Ok(Vec::new());
    while let Some(outcome) = stream.next().await {
        outs = outs.and_then(|mut outs| {
            outs.push(outcome.result?);
            Ok(outs)
        });
    }
    assert_eq!((outs.unwrap().len(), stream.stopped().is_none()), (10, true));
}
