//! Adaptive limits that take a rising latency for overload.

use std::time::Duration;

use llmspell::control::Adaptive;
use llmspell::observe::{EventKind, LimitChange};
use llmspell::{Context, Limit, Step, step};
use tokio::time::sleep;

use crate::probe::{Watch, ms};

/// A step that runs `capacity` calls at full speed and more calls more slowly. It emits its first output early.
fn crowd(capacity: usize, shows: bool) -> impl Step<In = usize, Out = ()> {
    let watch = Watch::default();
    step(move |n: usize, cx: Context| {
        let watch = watch.clone();
        async move {
            let alive = watch.enter();
            let slowness = watch.alive().max(capacity) as f64 / capacity as f64;
            // The time after the first output depends on the length of the reply.
            let (first, rest) = (100.0 * slowness, if n.is_multiple_of(4) { 2000.0 } else { 100.0 });
            sleep(Duration::from_secs_f64(first / 1e3)).await;
            if shows {
                cx.emit("word").await?;
            }
            sleep(Duration::from_secs_f64(rest / 1e3)).await;
            alive.complete();
            Ok(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn latency_counts_if_chosen_and_up_to_the_first_output() {
    let by_latency = Limit::adaptive(Adaptive::gradient());
    let cx = Context::recording();
    crowd(20, true).limit(by_latency.clone()).stream(0..3000, &cx).collect().await;
    let found = by_latency.permits().unwrap();
    assert!((20..=40).contains(&found), "{found}: 1.5 times the usual time is tolerated");
    assert!(
        cx.events()
            .iter()
            .any(|event| matches!(&event.fact, EventKind::LimitChanged { reason: LimitChange::Slow, .. }))
    );

    let by_errors = Limit::adaptive(Adaptive::aimd());
    crowd(20, true).limit(by_errors.clone()).stream(0..3000, &Context::new()).collect().await;
    assert_eq!(by_errors.permits(), Some(256), "no call was rejected");
}

#[tokio::test(start_paused = true)]
async fn a_step_without_partial_output_is_measured_as_a_whole() {
    let limit = Limit::adaptive(Adaptive::gradient());
    let watch = Watch::default();
    let step = step(move |_: usize, _| {
        let alive = watch.enter();
        let slowness = watch.alive().max(20) as u64;
        async move {
            sleep(ms(5 * slowness)).await;
            alive.complete();
            Ok(())
        }
    });
    step.limit(limit.clone()).stream(0..3000, &Context::new()).collect().await;
    assert!((20..=40).contains(&limit.permits().unwrap()), "{limit:?}");
}
