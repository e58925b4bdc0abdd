//! Limits to which slowness is overload.

use std::time::Duration;

use llmspell::{Adaptive, Context, EventKind, Limit, LimitChange, Step, step};
use tokio::time::sleep;

use crate::probe::{Watch, ms};

/// `capacity` calls at full speed, more of them more slowly; output at a tenth of the way.
fn crowd(capacity: usize, shows: bool) -> impl Step<In = usize, Out = ()> {
    let watch = Watch::default();
    step(move |n: usize, cx: Context| {
        let watch = watch.clone();
        async move {
            let alive = watch.enter();
            let slowness = watch.alive().max(capacity) as f64 / capacity as f64;
            // What comes after the first output takes as long as the answer is long.
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
async fn slowness_counts_if_it_is_asked_for_and_by_the_first_output() {
    let careful = Limit::adaptive(Adaptive::gradient());
    let cx = Context::recording();
    crowd(20, true).limit(careful.clone()).stream(0..3000, &cx).collect().await;
    let found = careful.permits().unwrap();
    assert!((20..=40).contains(&found), "{found}: half as long again as usual is bearable");
    assert!(
        cx.events()
            .iter()
            .any(|event| matches!(&event.fact, EventKind::LimitChanged { reason: LimitChange::Slow, .. }))
    );

    let blind = Limit::adaptive(Adaptive::aimd());
    crowd(20, true).limit(blind.clone()).stream(0..3000, &Context::new()).collect().await;
    assert_eq!(blind.permits(), Some(256), "nothing was ever refused");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_shows_nothing_is_measured_as_a_whole() {
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
