//! A tool that takes its time, and fails as often as you like: for testing and for showing async patterns.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::context::{Context, Label};
use crate::error::{Error, Result};
use crate::step::{Step, StepInfo, call};

/// Waits, then gives back its input; or fails, hangs or panics, as told.
///
/// What a call does depends on the seed and on its number alone, so a run with the same seed has the same
/// failures, in whatever order its calls end.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Context, FakeTool, Step};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// let search = FakeTool::new("search")
///     .delay(Duration::from_millis(300))
///     .jitter(Duration::from_millis(50)) // 300 to 350 ms
///     .failure_rate(0.2)
///     .seed(7);
/// let _ = search.run("rust", &Context::new()).await;
///
/// let flaky = FakeTool::new("flaky").fails_first(2);
/// assert!(flaky.run(1, &Context::new()).await.is_err());
/// assert!(flaky.run(2, &Context::new()).await.is_err());
/// assert_eq!(flaky.run(3, &Context::new()).await?, 3);
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[must_use = "a step does nothing until it runs"]
pub struct FakeTool<T = Value> {
    label: Label,
    delay: Duration,
    jitter: Duration,
    failure_rate: f64,
    hang_rate: f64,
    panic_rate: f64,
    fails_first: u64,
    seed: u64,
    calls: AtomicU64,
    value: PhantomData<fn(T) -> T>,
}

impl<T: Send + 'static> FakeTool<T> {
    /// A tool that takes no time and never fails.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        FakeTool {
            label: Label::new(name.into()),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            failure_rate: 0.0,
            hang_rate: 0.0,
            panic_rate: 0.0,
            fails_first: 0,
            seed: 0,
            calls: AtomicU64::new(0),
            value: PhantomData,
        }
    }

    /// How long each call takes.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// How much longer a call may take, evenly distributed.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// The share of calls that fail with a transient error after their delay, from 0 to 1.
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.failure_rate = share(rate);
        self
    }

    /// The share of calls that never end, from 0 to 1.
    pub fn hang_rate(mut self, rate: f64) -> Self {
        self.hang_rate = share(rate);
        self
    }

    /// The share of calls that panic after their delay, from 0 to 1.
    pub fn panic_rate(mut self, rate: f64) -> Self {
        self.panic_rate = share(rate);
        self
    }

    /// The first `calls` fail with a transient error after their delay.
    pub fn fails_first(mut self, calls: u64) -> Self {
        self.fails_first = calls;
        self
    }

    /// What the jitter and the failures are drawn from. The default is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many calls have begun.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn work(&self, input: T) -> Result<T> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        // Streams of neighbouring seeds are alike at their start; the multiplier sets them apart.
        let mut dice =
            fastrand::Rng::with_seed((self.seed ^ number.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let jitter = self.jitter.mul_f64(dice.f64());
        let (hangs, panics, fails) = (dice.f64(), dice.f64(), dice.f64());
        if hangs < self.hang_rate {
            std::future::pending::<()>().await;
        }
        let delay = self.delay + jitter;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        assert!(panics >= self.panic_rate, "{} was told to panic", self.label.name());
        if number < self.fails_first || fails < self.failure_rate {
            return Err(Error::failed("simulated failure").transient());
        }
        Ok(input)
    }
}

fn share(rate: f64) -> f64 {
    assert!((0.0..=1.0).contains(&rate), "a share lies between 0 and 1, not at {rate}");
    rate
}

impl<T: Send + 'static> Step for FakeTool<T> {
    type In = T;
    type Out = T;

    async fn run(&self, input: T, cx: &Context) -> Result<T> {
        let cx = cx.named(&self.label);
        call(&cx, self.work(input)).await
    }

    /// Idempotent, for it does nothing.
    fn info(&self) -> StepInfo<'_> {
        StepInfo::default().named(self.label.name()).idempotent()
    }
}
