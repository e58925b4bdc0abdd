//! A model with the latencies and failures of real ones, without a network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use llmspell::model::{EventSender, Finish, Model, ModelError, ModelErrorClass, ModelEvent, ModelStream, Request};
use llmspell::observe::Usage;
use llmspell::{Context, Result};
use tokio::time::sleep;

use crate::scripted::word_count;

/// A model with configurable latencies, rate limits, failures and hangs.
///
/// Latencies are log-normal, as those of servers tend to be. Their parameters are the median and `spread`, the standard
/// deviation of the logarithm (0: always the median; 0.5: one in a hundred takes 3.2 times as long).
///
/// The behaviour of a request depends only on the seed and on its number. So a run with the same seed has the same
/// failures. Clones share the number.
///
/// ```
/// use std::time::Duration;
/// use llmspell::model::{Model, Request};
/// use llmspell::{Context, Retry, Step};
/// use llmspell_test::SimulatedModel;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// let model = SimulatedModel::new("simulated/small")
///     .first_token(Duration::from_millis(300), 0.4)
///     .tokens_per_second(80.0)
///     .reply_tokens(40)
///     .rate_limited(0.1, Duration::from_millis(500)) // one in ten fails with 429 and a Retry-After
///     .truncated(0.05) // and one in twenty is truncated
///     .seed(7);
/// let ask = model.step().retry(Retry::exponential().max_attempts(5).after_output());
/// let reply = ask.run(Request::new("Tell me."), &Context::new()).await?;
/// assert_eq!(reply.usage.output_tokens, 40);
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SimulatedModel {
    name: Arc<str>,
    first_token: (Duration, f64),
    token_gap: (Duration, f64),
    reply_tokens: u64,
    text: Option<Arc<str>>,
    rate_limited: (f64, Duration),
    failing: f64,
    truncated: f64,
    hanging: f64,
    seed: u64,
    requests: Arc<AtomicU64>,
}

impl SimulatedModel {
    /// Creates a model without latency that replies with twenty tokens and never fails.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        SimulatedModel {
            name: name.into(),
            first_token: (Duration::ZERO, 0.0),
            token_gap: (Duration::ZERO, 0.0),
            reply_tokens: 20,
            text: None,
            rate_limited: (0.0, Duration::ZERO),
            failing: 0.0,
            truncated: 0.0,
            hanging: 0.0,
            seed: 0,
            requests: Arc::default(),
        }
    }

    /// Sets the median and the spread of the time to the first token.
    ///
    /// # Panics
    /// If `spread` is not a number from 0.
    pub fn first_token(mut self, median: Duration, spread: f64) -> Self {
        self.first_token = (median, checked_spread(spread));
        self
    }

    /// Sets the median rate of the tokens after the first.
    ///
    /// # Panics
    /// If `rate` is not a number above 0.
    pub fn tokens_per_second(mut self, rate: f64) -> Self {
        assert!(rate > 0.0 && rate.is_finite(), "expected a rate above 0, found {rate}");
        self.token_gap.0 = Duration::from_secs_f64(1.0 / rate);
        self
    }

    /// Sets the spread of the times between tokens.
    ///
    /// # Panics
    /// If `spread` is not a number from 0.
    pub fn token_spread(mut self, spread: f64) -> Self {
        self.token_gap.1 = checked_spread(spread);
        self
    }

    /// Sets the number of tokens of a reply.
    pub fn reply_tokens(mut self, tokens: u64) -> Self {
        self.reply_tokens = tokens;
        self
    }

    /// Sets the text of the reply, one token for each word. By default the reply counts its tokens.
    pub fn text(mut self, text: impl Into<Arc<str>>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Sets the share of requests that fail with 429, and the `Retry-After` of the error.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn rate_limited(mut self, share: f64, retry_after: Duration) -> Self {
        self.rate_limited = (checked_share(share), retry_after);
        self
    }

    /// Sets the share of requests that fail with 500.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn failing(mut self, share: f64) -> Self {
        self.failing = checked_share(share);
        self
    }

    /// Sets the share of replies that end half-way, without a finish reason.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn truncated(mut self, share: f64) -> Self {
        self.truncated = checked_share(share);
        self
    }

    /// Sets the share of replies that stop half-way and never continue.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn hanging(mut self, share: f64) -> Self {
        self.hanging = checked_share(share);
        self
    }

    /// Sets the seed of latencies and failures. The default is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Returns the number of requests so far, of all clones together.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    async fn reply(self, request: Request, events: EventSender) -> Result<()> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut rng = fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let outcome = RequestOutcome::draw(&self, &mut rng);
        pause(self.first_token, &mut rng).await;
        match outcome {
            RequestOutcome::RateLimited => {
                let error = ModelError::new(ModelErrorClass::RateLimited, "too many requests (simulated)");
                return Err(error.with_status(429).with_retry_after(self.rate_limited.1).into_error());
            }
            RequestOutcome::ServerError => {
                let error = ModelError::new(ModelErrorClass::Server, "internal error (simulated)");
                return Err(error.with_status(500).into_error());
            }
            RequestOutcome::Complete | RequestOutcome::Truncated | RequestOutcome::Hanging => {}
        }
        let request_id = Some(format!("simulated-{number}"));
        events.send(ModelEvent::started(Some(self.name.to_string()), request_id)).await?;
        let words: Vec<&str> = self.text.as_deref().map_or(Vec::new(), |text| text.split_inclusive(' ').collect());
        let tokens = if words.is_empty() { self.reply_tokens } else { words.len() as u64 };
        for index in 0..=tokens {
            match outcome {
                RequestOutcome::Truncated if index == tokens / 2 => return Ok(()),
                RequestOutcome::Hanging if index == tokens / 2 => std::future::pending().await,
                _ if index == tokens => break,
                _ => {}
            }
            if index > 0 {
                pause(self.token_gap, &mut rng).await;
            }
            let word = words.get(index as usize).map_or_else(|| format!("{} ", index + 1), |word| (*word).to_owned());
            events.send(ModelEvent::Text(word)).await?;
        }
        events.send(ModelEvent::Usage(Usage::new(word_count(&request), tokens))).await?;
        events.send(ModelEvent::Finish(Finish::Stop)).await
    }
}

impl Model for SimulatedModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn stream(&self, request: Request, _cx: &Context) -> ModelStream {
        let model = self.clone();
        ModelStream::produce(move |events| model.reply(request, events))
    }
}

/// The outcome of a request.
#[derive(Clone, Copy)]
enum RequestOutcome {
    Complete,
    RateLimited,
    ServerError,
    Truncated,
    Hanging,
}

impl RequestOutcome {
    fn draw(model: &SimulatedModel, rng: &mut fastrand::Rng) -> RequestOutcome {
        let mut position = rng.f64();
        let shares = [
            (model.rate_limited.0, RequestOutcome::RateLimited),
            (model.failing, RequestOutcome::ServerError),
            (model.truncated, RequestOutcome::Truncated),
            (model.hanging, RequestOutcome::Hanging),
        ];
        for (share, outcome) in shares {
            if position < share {
                return outcome;
            }
            position -= share;
        }
        RequestOutcome::Complete
    }
}

/// Waits for a log-normal time around a median.
async fn pause((median, spread): (Duration, f64), rng: &mut fastrand::Rng) {
    if median.is_zero() {
        return;
    }
    // The Box-Muller transform (1958): two uniform numbers give a normal one.
    let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
    // Capped at a hundred times the median: longer waits are hangs, which have a share of their own.
    let factor = (spread * normal).exp().min(100.0);
    sleep(median.mul_f64(factor)).await;
}

fn checked_spread(spread: f64) -> f64 {
    assert!(spread >= 0.0 && spread.is_finite(), "expected a spread from 0, found {spread}");
    spread
}

fn checked_share(share: f64) -> f64 {
    assert!((0.0..=1.0).contains(&share), "expected a share from 0 to 1, found {share}");
    share
}
