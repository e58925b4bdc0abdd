//! The queue of a budget: its order, and how long a call stays in it.

use std::pin::Pin;
use std::task::Poll;

use llmspell::{Budget, Context, ErrorKind, Step};
use tokio::time::{Instant, sleep};

use super::{TestCall, tokens, uses, work};
use crate::probe::ms;
use crate::wait::{completes, spawn_call, spawn_task};

/// Polls a future once, so that it joins the queue.
async fn poll_once<F: Future + Unpin>(mut future: F) {
    std::future::poll_fn(|task| {
        assert!(Pin::new(&mut future).poll(task).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// A budget for two calls at a time, none of which uses anything.
fn halves() -> (Budget, impl Step<In = TestCall, Out = ()> + Clone) {
    let budget = Budget::tokens(100).estimate(tokens(50));
    (budget.clone(), work().budget(budget))
}

fn free(takes: u64) -> TestCall {
    TestCall { takes, ..uses(0) }
}

#[tokio::test(start_paused = true)]
async fn unpolled_waiters_do_not_block_the_queue_and_keep_their_reservation() {
    let (budget, step) = halves();
    let cx = Context::new();
    let started = Instant::now();
    let crowd = (spawn_call(&step, free(100), &cx), spawn_call(&step, free(200), &cx));
    sleep(ms(1)).await;
    let mut first = Box::pin(step.run(free(1), &cx));
    poll_once(&mut first).await;
    assert_eq!(budget.waiting(), 1);
    completes(spawn_call(&step, free(1), &cx)).await.unwrap();
    assert_eq!(started.elapsed(), ms(201), "the first half goes to the unpolled waiter, the second to this call");
    assert_eq!(budget.remaining_tokens(), Some(50));
    drop(first);
    assert_eq!((budget.remaining_tokens(), budget.waiting()), (Some(100), 0));
    assert!(completes(crowd.0).await.is_ok() && completes(crowd.1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reservation_goes_to_the_next_waiter() {
    let (budget, step) = halves();
    let cx = Context::new();
    let holds = (spawn_call(&step, free(100), &cx), spawn_call(&step, free(3000), &cx));
    sleep(ms(1)).await;
    let mut first = Box::pin(step.run(free(1), &cx));
    poll_once(&mut first).await;
    let started = Instant::now();
    let next = spawn_call(&step, free(1), &cx);
    sleep(ms(500)).await;
    drop(first);
    completes(next).await.unwrap();
    assert_eq!(started.elapsed(), ms(501));
    assert!(completes(holds.0).await.is_ok() && completes(holds.1).await.is_ok());
    assert_eq!(budget.remaining_tokens(), Some(100));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_or_late_call_leaves_the_queue() {
    let (budget, step) = halves();
    let (cx, canceller) = Context::new().cancellable();
    let started = Instant::now();
    let late = cx.with_deadline(started + ms(20));
    let ends_at = |cx: &Context| {
        let (step, cx) = (step.clone(), cx.clone());
        spawn_task(async move {
            let kind = step.run(free(1), &cx).await.unwrap_err().kind();
            (kind, started.elapsed())
        })
    };
    let holds = (spawn_call(&step, free(1000), &cx), spawn_call(&step, free(1000), &cx));
    sleep(ms(1)).await;
    let (cancelled, timed_out) = (ends_at(&cx), ends_at(&late));
    sleep(ms(49)).await;
    canceller.cancel();
    assert_eq!(
        (completes(cancelled).await, completes(timed_out).await),
        ((ErrorKind::Cancelled, ms(50)), (ErrorKind::Timeout, ms(21)))
    );
    let _ = completes(async { tokio::join!(holds.0, holds.1) }).await;
    assert_eq!((budget.waiting(), budget.remaining_tokens()), (0, Some(100)));
}

#[tokio::test(start_paused = true)]
async fn clones_share_what_is_spent_and_budgets_of_one_builder_do_not() {
    let caps = Budget::builder().tokens(100);
    let (budget, other) = (caps.clone().build(), caps.build());
    let clone = budget.clone();
    work().budget(budget.clone()).run(uses(30), &Context::new()).await.unwrap();
    let remaining = [budget, clone, other].map(|budget| budget.remaining_tokens());
    assert_eq!(remaining, [Some(70), Some(70), Some(100)]);
}
