//! **Retries are bounded**: one budget for a logical call however retries nest, full jitter, and no attempt
//! past the deadline. A short `Retry-After` is honoured; a long one ends the attempts.
//!
//! *Hazard*: each layer retries by itself, so three layers of three make twenty-seven calls of a failing
//! service. Callers that failed together retry together.
//!
//! *Reports*: <https://github.com/HKUDS/nanobot/issues/2760>, <https://github.com/livekit/agents/pull/5335>,
//! <https://github.com/MemTensor/MemOS/pull/1899>,
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
//!
//! *Common alternative*: nested loops with exponential delays (`cargo run -p hazards -- retries herd`).
//!
//! *Here* (G11 within one call, the jitter of G12): three calls instead of twenty-seven, on one thread or
//! several. Of a thousand callers that failed together, less than 5 % retry in any fiftieth of the window. The
//! budget that calls share: `tests/it/retry_budget.rs`; second copies: `tests/it/hedge.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::observe::{Event, EventKind};
use llmspell::{Context, Retry, Step, step, value};
use tokio::time::{Instant, sleep, timeout};

use crate::baseline::at_most;
use crate::probe::{busy, failing, ms, waits};

on_both_runtimes!(
    nested_retries_share_one_budget,
    largest_nested_retry_sets_the_budget,
    no_attempt_starts_past_the_deadline,
    retries_of_many_callers_are_spread_over_the_window,
    retry_after_is_honoured,
);

const ITEMS: usize = 1000;

/// Three layers of three attempts would make twenty-seven calls if each layer counted for itself.
async fn nested_retries_share_one_budget() {
    let (step, calls) = failing(busy());
    let policy = || Retry::immediately().max_attempts(3);
    let nested = Arc::new(step.retry(policy()).named("inner").retry(policy()).named("middle").retry(policy()));
    nested.run(0, &Context::new()).await.unwrap_err();
    assert_eq!(calls.lock().unwrap().len(), 3);

    // Each item of a stream is a logical call of its own, on any thread.
    let (step, calls) = failing(busy());
    let nested = step.retry(policy()).spawned().retry(policy()).retry(policy());
    nested.stream(0..1000u32, &Context::new()).limit(64).collect().await;
    assert_eq!(calls.lock().unwrap().len(), 3 * ITEMS);
}

async fn largest_nested_retry_sets_the_budget() {
    for (inner, outer) in [(5, 2), (2, 5)] {
        let (step, calls) = failing(busy());
        let policy = |attempts| Retry::immediately().max_attempts(attempts);
        step.retry(policy(inner)).retry(policy(outer)).run(0, &Context::new()).await.unwrap_err();
        assert_eq!(calls.lock().unwrap().len(), 5, "{inner} inside {outer}");
    }
}

/// Returns a step that fails at once and records how long after its deadline each call started; zero if in
/// time.
fn late() -> (impl Step<In = usize, Out = ()>, Arc<Mutex<Vec<Duration>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = calls.clone();
    let step = step(move |_: usize, cx: Context| {
        log.lock().unwrap().push(cx.deadline().expect("a deadline").elapsed());
        async { Err::<(), _>(busy()) }
    });
    (step, calls)
}

async fn no_attempt_starts_past_the_deadline() {
    // The time between reading the clock and starting an attempt is up to the machine.
    at_most(Duration::from_micros(200), "an attempt", || async {
        let (step, calls) = late();
        let policy = Retry::exponential().base(ms(1)).max_wait(ms(8)).max_attempts(u32::MAX);
        step.retry(policy).deadline(ms(60)).stream(0..50, &Context::new()).limit(50).collect().await;
        let calls = calls.lock().unwrap();
        assert!(calls.len() >= 50);
        *calls.iter().max().unwrap()
    })
    .await;

    // The delay and the deadline expire in the same poll, because the task was blocked meanwhile.
    let (step, calls) = late();
    let call = step.retry(Retry::delays([ms(10)])).deadline(ms(20));
    let cx = Context::new();
    let (result, ()) = tokio::join!(call.run(0, &cx), async {
        sleep(ms(2)).await;
        #[expect(clippy::disallowed_methods, reason = "stands for a busy machine")]
        std::thread::sleep(ms(40));
    });
    assert!(result.is_err());
    assert_eq!(calls.lock().unwrap().len(), 1);
}

/// Returns the largest share of `waits` in any fiftieth of `window`.
fn largest_share(mut waits: Vec<Duration>, window: Duration) -> f64 {
    waits.sort_unstable();
    let in_one = |first: usize| waits[first..].iter().take_while(|wait| **wait - waits[first] <= window / 50).count();
    let most = (0..waits.len()).map(in_one).max().unwrap_or(0);
    most as f64 / waits.len() as f64
}

/// A thousand callers that failed together. The delays are read from the events, without waiting for them.
async fn retries_of_many_callers_are_spread_over_the_window() {
    let window = Duration::from_secs(50);
    let (sender, mut delays) = tokio::sync::mpsc::channel(ITEMS);
    let cx = Context::new().with_sink(move |event: &Event| {
        if let EventKind::Retrying { delay, .. } = event.fact {
            sender.try_send(delay).unwrap();
        }
    });
    let (step, _) = failing(busy());
    let mut callers =
        step.retry(Retry::exponential().base(window).max_wait(window)).stream(0..1000u32, &cx).limit(ITEMS);
    let mut waits = Vec::new();
    while waits.len() < ITEMS {
        tokio::select! {
            delay = delays.recv() => waits.push(delay.unwrap()),
            // Some have no delay, and a longer one after their second attempt.
            outcome = callers.next() => assert!(outcome.is_some()),
        }
    }
    assert!(waits.iter().all(|wait| *wait <= window));
    let share = largest_share(waits, window);
    assert!(share < 0.05, "{share} of the callers retry in one fiftieth of the window");
}

async fn retry_after_is_honoured() {
    let rejecting = |wait| failing(busy().with_retry_after(wait));
    let (step, calls) = rejecting(ms(30));
    step.retry(Retry::exponential().base(ms(1))).run(0, &Context::new()).await.unwrap_err();
    assert!(waits(&calls).iter().all(|wait| *wait >= ms(30)) && calls.lock().unwrap().len() == 3);

    // That is too long: the fallback serves instead.
    let (step, calls) = rejecting(Duration::from_secs(600));
    let call = step.retry(Retry::exponential()).retry(Retry::exponential()).fallback(value(1u32)).with_outcome();
    let outcome = timeout(ms(10_000), call.run(0, &Context::new())).await.expect("at once").unwrap();
    assert_eq!(outcome.result.unwrap(), 1);
    assert!(outcome.causes[0].message().contains("the error asks to wait 10 min"), "{}", outcome.causes[0]);
    assert_eq!(calls.lock().unwrap().len(), 1);
}

/// The same for the calls themselves, on a paused clock.
#[tokio::test(start_paused = true)]
async fn full_jitter_spreads_retries() {
    // The clock has a resolution of 1 ms, so a window of 50 s has 50,000 slots.
    const WINDOW: Duration = Duration::from_secs(50);
    fastrand::seed(12);
    let (step, calls) = failing(busy());
    let step = step.retry(Retry::exponential().base(WINDOW).max_wait(WINDOW).max_attempts(2));
    let started = Instant::now();
    step.stream(0..1000, &Context::new()).limit(1000).collect().await;
    let mut retries: Vec<_> = calls.lock().unwrap().iter().skip(1000).map(|call| *call - started).collect();
    retries.sort_unstable();
    assert_eq!(retries.len(), 1000);
    assert!(retries[0] < WINDOW / 50 && retries[999] > WINDOW * 49 / 50, "the whole window is used");
    let most = retries
        .iter()
        .enumerate()
        .map(|(first, begin)| retries[first..].iter().take_while(|retry| **retry < *begin + WINDOW / 50).count());
    assert!(most.clone().all(|together| together < 50), "{:?}", most.max());
}
