//! A budget for a whole stream: inputs stay in the source once it is exhausted.

use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use futures_core::Stream;
use llmspell::observe::{EventKind, Usage};
use llmspell::{Budget, Context, ErrorKind, Step, step};
use tokio::time::{Instant, sleep, timeout};

use super::{TestCall, tokens, uses, work};
use crate::probe::ms;
use crate::wait::{completes, spawn_call, spawn_task};

#[tokio::test(start_paused = true)]
async fn the_source_is_not_pulled_once_the_budget_is_exhausted() {
    let budget = Budget::tokens(1000).estimate(tokens(90));
    let cx = Context::recording();
    let mut stream = work().stream(std::iter::repeat(uses(90)), &cx).limit(4).budget(budget.clone());
    let mut delivered = 0;
    while let Some(outcome) = stream.next().await {
        outcome.result.unwrap();
        delivered += 1;
    }
    assert_eq!((delivered, stream.pulled(), budget.spent().tokens()), (11, 11, 990), "every pulled input ran");
    let reason = stream.stopped().unwrap();
    assert_eq!(reason.kind(), ErrorKind::Rejected);
    let reported = "budget exhausted: 990 of 1000 tokens are spent, and a call needs about 90 tokens";
    assert_eq!(reason.message(), reported);
    let events = cx.events();
    let stops: Vec<_> = events.iter().filter(|event| matches!(event.fact, EventKind::StreamStopped { .. })).collect();
    assert_eq!(stops.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_complete_stream_was_not_stopped() {
    let budget = Budget::tokens(1000).estimate(tokens(100));
    let mut stream = work().stream([uses(1); 50], &Context::new()).budget(budget.clone());
    while let Some(outcome) = stream.next().await {
        outcome.result.unwrap();
    }
    assert!(stream.stopped().is_none());
    assert_eq!((budget.spent().tokens(), budget.remaining_tokens()), (50, Some(950)));
}

/// The budget cannot reserve for ten items at once, but what items leave is enough for the next ones.
#[tokio::test(start_paused = true)]
async fn inputs_wait_for_unused_reservations_of_items_in_flight() {
    let (budget, started) = (Budget::tokens(1000).estimate(tokens(400)), Instant::now());
    let stream = work().stream([uses(10); 10], &Context::new()).limit(10).budget(budget);
    let outcomes = completes(stream.collect()).await;
    assert_eq!((outcomes.len(), started.elapsed()), (10, ms(50)), "two at a time");
}

#[tokio::test(start_paused = true)]
async fn items_share_the_budget_with_every_clone() {
    let budget = Budget::tokens(1000);
    // The stream waits for another call, and is woken when that leaves enough.
    let other = work().budget(budget.clone().estimate(tokens(1000)));
    let slow = TestCall { takes: 500, ..uses(100) };
    let started = Instant::now();
    let shared = budget.clone().estimate(tokens(300));
    let stream = step(move |(), cx: Context| {
        let stream = work().stream([uses(300); 5], &cx).budget(shared.clone());
        async move { Ok((stream.collect().await.len(), started.elapsed())) }
    });
    let cx = Context::new();
    let (other, stream) = (spawn_call(&other, slow, &cx), spawn_call(&stream, (), &cx));
    assert!(completes(other).await.is_ok());
    assert_eq!((completes(stream).await.unwrap(), budget.spent().tokens()), ((3, ms(510)), 1000));
}

/// The stream is not polled while its consumer waits in the queue, so it must not wait in that queue itself.
#[tokio::test(start_paused = true)]
async fn a_consumer_may_draw_on_the_budget_of_its_stream() {
    let budget = Budget::tokens(100_000).estimate(tokens(100));
    let own = work().budget(budget.clone().estimate(tokens(99_900)));
    let cx = Context::new();
    let mut stream = work().stream([uses(1); 30], &cx).limit(3).budget(budget.clone());
    let mut delivered = 0;
    while let Some(outcome) = timeout(ms(60_000), stream.next()).await.expect("no call waits for ever") {
        outcome.result.unwrap();
        delivered += 1;
        timeout(ms(60_000), own.run(uses(1), &cx)).await.expect("no call waits for ever here").unwrap();
    }
    assert_eq!((delivered, budget.spent().tokens()), (30, 60));
}

/// A source that never has an item.
struct Idle;

impl Stream for Idle {
    type Item = TestCall;

    fn poll_next(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Option<TestCall>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_source_reserves_nothing() {
    let (budget, cx) = (Budget::tokens(100).estimate(tokens(100)), Context::new());
    let mut idle = work().stream(Idle, &cx).budget(budget.clone());
    assert!(timeout(ms(10), idle.next()).await.is_err());
    assert_eq!(budget.remaining_tokens(), Some(100));
    work().budget(budget).run(uses(1), &cx).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_usage_of_an_item_includes_all_its_calls() {
    let budget = Budget::tokens(1000).estimate(tokens(200));
    let calls = work().budget(budget.clone());
    let item = step(move |n: usize, cx: Context| {
        let calls = calls.clone();
        async move {
            for _ in 0..n {
                calls.run(uses(100), &cx).await?;
            }
            Ok(())
        }
    });
    let mut stream = item.stream([2, 2, 5, 9], &Context::new()).limit(1).budget(budget.clone());
    let mut results = Vec::new();
    while let Some(outcome) = stream.next().await {
        results.push(outcome.is_ok());
    }
    assert_eq!((results, budget.spent().tokens()), (vec![true, true, true], 900), "there was no room for a fourth");
    let more = step(|_: usize, cx: Context| async move {
        cx.record_usage(Usage::new(100, 0));
        Ok(())
    });
    assert!(more.budget(budget.estimate(tokens(100))).run(0, &Context::new()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stream_inside_an_item_ends_when_everything_is_spent() {
    let budget = Budget::tokens(1000).estimate(tokens(200));
    let shared = budget.clone();
    let item = step(move |(), cx: Context| {
        let budget = shared.clone();
        async move {
            let mut inner = work().stream([uses(100); 50], &cx).limit(1).budget(budget);
            let mut done = 0;
            while inner.next().await.is_some() {
                done += 1;
            }
            Ok((done, inner.stopped().is_some()))
        }
    });
    let outcomes = item.stream([()], &Context::new()).budget(budget.clone()).collect().await;
    assert_eq!(outcomes[0].result.as_ref().unwrap(), &(10, true));
    assert_eq!(budget.spent().tokens(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_have_several_budgets() {
    let (tight, loose) = (Budget::tokens(300).estimate(tokens(100)), Budget::tokens(5000).estimate(tokens(100)));
    for (first, second) in [(tight.clone(), loose.clone()), (Budget::tokens(300).estimate(tokens(100)), loose.clone())]
    {
        let mut stream = work().stream([uses(100); 9], &Context::new()).budget(second).budget(first);
        let mut delivered = 0;
        while stream.next().await.is_some() {
            delivered += 1;
        }
        assert_eq!(delivered, 3);
        assert!(stream.stopped().unwrap().message().contains("of 300 tokens"));
    }
    assert_eq!((tight.spent().tokens(), loose.spent().tokens(), loose.remaining_tokens()), (300, 600, Some(4400)));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_stream_leaves_nothing_reserved() {
    let budget = Budget::tokens(1000).estimate(tokens(100));
    let mut stream = work().stream([uses(1); 50], &Context::new()).limit(5).budget(budget.clone());
    assert!(stream.next().await.unwrap().is_ok());
    stream.stop().await;
    sleep(ms(100)).await;
    // Items that were dropped count as their estimate.
    let spent = budget.spent().tokens();
    assert_eq!(budget.remaining_tokens(), Some(1000 - spent));
    assert!(spent <= 501, "{spent}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_nothing_reserved() {
    let budget = Budget::tokens(1000).estimate(tokens(100));
    let panics = step(|n: usize, _| async move {
        assert!(n != 3, "three");
        Ok(n)
    });
    let outcomes = panics.stream(0..6, &Context::new()).budget(budget.clone()).collect().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    assert_eq!((budget.spent().tokens(), budget.remaining_tokens()), (600, Some(400)), "no report, so as estimated");
}

/// A step that returns how long a stream of `calls` takes, which reserve 300 tokens each and use none.
fn three_hundred_each(calls: usize, budget: &Budget) -> impl Step<In = (), Out = Duration> + Clone {
    let budget = budget.clone().estimate(tokens(300));
    step(move |(), cx: Context| {
        let (stream, started) = (work().stream(vec![uses(0); calls], &cx).budget(budget.clone()), Instant::now());
        async move {
            stream.try_collect().await?;
            Ok(started.elapsed())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_stream_does_not_starve_waiting_calls() {
    let budget = Budget::tokens(1000);
    let (large, stream, cx) =
        (work().budget(budget.clone().estimate(tokens(900))), three_hundred_each(30, &budget), Context::new());
    let took = spawn_call(&stream, (), &cx);
    sleep(ms(1)).await;
    let started = Instant::now();
    completes(spawn_call(&large, uses(0), &cx)).await.unwrap();
    assert_eq!(started.elapsed(), ms(19), "as soon as there is room");
    assert_eq!(completes(took).await.unwrap(), ms(110));
}

#[tokio::test(start_paused = true)]
async fn a_stream_continues_when_a_waiting_call_is_abandoned() {
    let budget = Budget::tokens(1000);
    let slow = work().budget(budget.clone().estimate(tokens(500)));
    let (large, stream, cx) =
        (work().budget(budget.clone().estimate(tokens(800))), three_hundred_each(1, &budget), Context::new());
    let slow = spawn_call(&slow, TestCall { takes: 1000, ..uses(0) }, &cx);
    let given_up = cx.clone();
    let given_up = spawn_task(async move { timeout(ms(50), large.run(uses(0), &given_up)).await });
    sleep(ms(1)).await;
    assert_eq!(completes(spawn_call(&stream, (), &cx)).await.unwrap(), ms(59));
    assert!(completes(given_up).await.is_err() && completes(slow).await.is_ok());
}
