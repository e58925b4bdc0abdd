//! A tool with a configurable latency and failure rate, for tests and demonstrations of the patterns.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use llmspell::step::StepInfo;
use llmspell::{Context, Error, Result, Step};
use serde_json::Value;
use tokio::time::sleep;

/// A step that waits, then returns its input; or fails, hangs or panics, as configured.
///
/// The behaviour of a call depends only on the seed and on the number of the call. So a run with the same seed has the
/// same failures, in whatever order its calls end. Clones share the number.
///
/// ```
/// use std::time::Duration;
/// use llmspell::{Context, Step};
/// use llmspell_test::FakeTool;
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
#[derive(Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct FakeTool<T = Value> {
    name: Arc<str>,
    delay: Duration,
    jitter: Duration,
    failure_rate: f64,
    hang_rate: f64,
    panic_rate: f64,
    fails_first: u64,
    seed: u64,
    calls: Arc<AtomicU64>,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Clone for FakeTool<T> {
    fn clone(&self) -> Self {
        FakeTool { name: self.name.clone(), calls: self.calls.clone(), ..*self }
    }
}

impl<T: Send + 'static> FakeTool<T> {
    /// Creates a tool without latency that never fails.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        FakeTool {
            name: name.into(),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            failure_rate: 0.0,
            hang_rate: 0.0,
            panic_rate: 0.0,
            fails_first: 0,
            seed: 0,
            calls: Arc::default(),
            value: PhantomData,
        }
    }

    /// Sets the latency of each call.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the maximum additional latency of a call, uniformly distributed.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the share of calls that fail with a transient error after their delay, from 0 to 1.
    ///
    /// # Panics
    /// If the rate is not between 0 and 1.
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.failure_rate = checked_rate(rate);
        self
    }

    /// Sets the share of calls that never end, from 0 to 1.
    ///
    /// # Panics
    /// If the rate is not between 0 and 1.
    pub fn hang_rate(mut self, rate: f64) -> Self {
        self.hang_rate = checked_rate(rate);
        self
    }

    /// Sets the share of calls that panic after their delay, from 0 to 1.
    ///
    /// # Panics
    /// If the rate is not between 0 and 1.
    pub fn panic_rate(mut self, rate: f64) -> Self {
        self.panic_rate = checked_rate(rate);
        self
    }

    /// Sets the number of calls at the start that fail with a transient error after their delay.
    pub fn fails_first(mut self, calls: u64) -> Self {
        self.fails_first = calls;
        self
    }

    /// Sets the seed of jitter and failures. The default is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Returns the number of calls that have started.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl<T: Send + 'static> Step for FakeTool<T> {
    type In = T;
    type Out = T;

    async fn run(&self, input: T, cx: &Context) -> Result<T> {
        FakeCall(self.clone()).named(self.name.clone()).run(input, cx).await
    }

    /// The tool is idempotent because it has no effect.
    fn info(&self) -> StepInfo<'_> {
        StepInfo::default().named(&self.name).idempotent()
    }
}

/// One call of a tool, without its name.
struct FakeCall<T>(FakeTool<T>);

impl<T: Send + 'static> Step for FakeCall<T> {
    type In = T;
    type Out = T;

    async fn run(&self, input: T, _: &Context) -> Result<T> {
        let tool = &self.0;
        let number = tool.calls.fetch_add(1, Ordering::Relaxed);
        // Streams of neighbouring seeds are similar at their start; the multiplier separates them.
        let mut rng =
            fastrand::Rng::with_seed((tool.seed ^ number.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let jitter = tool.jitter.mul_f64(rng.f64());
        let (hangs, panics, fails) = (rng.f64(), rng.f64(), rng.f64());
        if hangs < tool.hang_rate {
            std::future::pending::<()>().await;
        }
        let delay = tool.delay + jitter;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        assert!(panics >= tool.panic_rate, "{} was configured to panic", tool.name);
        if number < tool.fails_first || fails < tool.failure_rate {
            return Err(Error::failed("simulated failure").transient());
        }
        Ok(input)
    }
}

fn checked_rate(rate: f64) -> f64 {
    assert!((0.0..=1.0).contains(&rate), "expected a rate from 0 to 1, found {rate}");
    rate
}
