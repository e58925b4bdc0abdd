//! Standing in line for what others may leave: who holds up whom, and how long anybody stays.

use std::pin::Pin;
use std::task::Poll;

use llmspell::{Budget, Context, ErrorKind, Step};
use tokio::time::{Instant, sleep};

use super::{Call, tokens, uses, work};
use crate::probe::ms;
use crate::wait::{completes, spawn_call, spawn_task};

/// Lets a future get into line, and leaves it there.
async fn poll_once<F: Future + Unpin>(mut future: F) {
    std::future::poll_fn(|task| {
        assert!(Pin::new(&mut future).poll(task).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// Half of a budget for each call, none of which uses anything in the end.
fn halves() -> (Budget, impl Step<In = Call, Out = ()> + Clone) {
    let budget = Budget::tokens(100).estimate(tokens(50));
    (budget.clone(), work().budget(budget))
}

fn free(takes: u64) -> Call {
    Call { takes, ..uses(0) }
}

#[tokio::test(start_paused = true)]
async fn those_who_are_not_polled_hold_up_nobody_and_keep_what_is_reserved_for_them() {
    let (budget, step) = halves();
    let cx = Context::new();
    let started = Instant::now();
    let crowd = (spawn_call(&step, free(100), &cx), spawn_call(&step, free(200), &cx));
    sleep(ms(1)).await;
    let mut first = Box::pin(step.run(free(1), &cx));
    poll_once(&mut first).await;
    assert_eq!(budget.waiting(), 1);
    completes(spawn_call(&step, free(1), &cx)).await.unwrap();
    assert_eq!(started.elapsed(), ms(201), "the first half is for the other one, the second for this one");
    assert_eq!(budget.remaining_tokens(), Some(50));
    drop(first);
    assert_eq!((budget.remaining_tokens(), budget.waiting()), (Some(100), 0));
    assert!(completes(crowd.0).await.is_ok() && completes(crowd.1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_goes_to_the_next() {
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
async fn nobody_stays_in_line_who_is_cancelled_or_out_of_time() {
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

#[test]
#[should_panic(expected = "set the caps of a `Budget` before it is cloned")]
fn a_budget_that_is_shared_cannot_be_changed() {
    let budget = Budget::tokens(1);
    let _shared = budget.clone();
    let _ = budget.or_cost(1.0);
}
