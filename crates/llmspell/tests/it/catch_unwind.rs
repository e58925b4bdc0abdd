//! `catch_panic` catches every panic of a step, whenever it happens.

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use llmspell::{Context, Error, ErrorKind, Step, step};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "in a destructor");
    }
}

#[tokio::test]
async fn panic_before_the_future_exists_is_an_error() {
    let early = step(|by: i32, _| {
        let quotient = 1 / by;
        async move { Ok::<_, Error>(quotient) }
    });
    let early = early.catch_panic();
    assert_eq!(early.run(0, &Context::new()).await.unwrap_err().kind(), ErrorKind::Panicked);
    assert_eq!(early.run(1, &Context::new()).await.unwrap(), 1);
}

#[tokio::test]
async fn panic_when_a_finished_future_is_dropped_is_an_error() {
    let late = step(|(), _| {
        let mut bomb = Some(Bomb);
        poll_fn(move |_| {
            let _ = &mut bomb;
            Poll::Ready(Ok::<_, Error>(()))
        })
    });
    assert_eq!(late.catch_panic().run((), &Context::new()).await.unwrap_err().kind(), ErrorKind::Panicked);
}

#[tokio::test]
async fn panic_when_a_pending_future_is_dropped_is_caught() {
    let endless = step(|(), _| {
        let bomb = Bomb;
        async move {
            pending::<()>().await;
            drop(bomb);
            Ok::<_, Error>(())
        }
    });
    let (endless, cx) = (endless.catch_panic(), Context::new());
    let mut run = Box::pin(endless.run((), &cx));
    poll_fn(|task| {
        assert!(run.as_mut().poll(task).is_pending());
        Poll::Ready(())
    })
    .await;
    assert!(catch_unwind(AssertUnwindSafe(|| drop(run))).is_ok());
}
