//! A breaker that is used by streams alone, or by calls inside its own probes, closes again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use llmspell::step::BoxStep;
use llmspell::{Breaker, Context, Error, Step, step};
use tokio::time::sleep;

use crate::probe::ms;

/// A step that fails as long as the other side is down.
fn ask(up: &Arc<AtomicBool>) -> BoxStep<u32, u32> {
    let up = up.clone();
    step(move |n: u32, _| {
        let answer = if up.load(Ordering::SeqCst) { Ok(n) } else { Err(Error::overloaded("503")) };
        async move { answer }
    })
    .boxed()
}

fn breaker() -> Breaker {
    Breaker::builder().consecutive_failures(1).open_for(ms(20)).without_jitter().build()
}

#[tokio::test(start_paused = true)]
async fn streams_alone_close_it_again() {
    let (up, cx, breaker) = (Arc::default(), Context::new(), breaker());
    let ask = ask(&up);
    ask.clone().stream([1], &cx).breaker(breaker.clone()).collect().await;
    let mut rejected = ask.clone().stream(0..10, &cx).breaker(breaker.clone());
    assert!(rejected.next().await.is_none());
    assert!(rejected.stopped().unwrap().retry_after() > Some(ms(0)));

    up.store(true, Ordering::SeqCst);
    sleep(ms(100)).await;
    let outcomes = ask.stream(0..10, &cx).breaker(breaker.clone()).collect().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10);
    assert!(breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_probe_does_not_block_itself() {
    let (up, cx, breaker) = (Arc::default(), Context::new(), breaker());
    let ask = ask(&up).breaker(breaker.clone()).breaker(breaker.clone());
    assert!(ask.run(1, &cx).await.is_err());
    up.store(true, Ordering::SeqCst);
    sleep(ms(100)).await;
    assert_eq!(ask.run(2, &cx).await.unwrap(), 2);
    assert!(breaker.is_closed());
}
