//! A model that behaves as real ones do, without a network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::event::{Finish, ModelEvent};
use super::request::Request;
use super::scripted::estimate;
use super::stream::{EventSender, ModelStream};
use super::{Model, ModelError, ModelErrorClass};
use crate::context::Context;
use crate::error::Result;
use crate::observe::usage::Usage;

/// A model that takes its time to the first token and between tokens, fails, refuses and hangs, as told.
///
/// Times are log-normal, as those of servers tend to be: told by their median and by `spread`, the standard
/// deviation of their logarithm (0: always the median; 0.5: one in a hundred takes 3.2 times as long). What a
/// request does depends on the seed and on its number alone, so a run with the same seed has the same failures.
///
/// ```
/// use std::time::Duration;
/// use llmspell::model::{Model, Request, SimulatedModel};
/// use llmspell::{Context, Retry, Step};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// let model = SimulatedModel::new("simulated/small")
///     .first_token(Duration::from_millis(300), 0.4)
///     .tokens_per_second(80.0)
///     .reply_tokens(40)
///     .rate_limited(0.1, Duration::from_millis(500)) // one in ten answers 429 with a Retry-After
///     .truncated(0.05) // and one in twenty breaks off
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
    /// A model that replies at once with twenty tokens, and never fails.
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

    /// How long it takes to the first token: the median, and the spread.
    pub fn first_token(mut self, median: Duration, spread: f64) -> Self {
        self.first_token = (median, checked_spread(spread));
        self
    }

    /// How fast the tokens come after that, in the median.
    ///
    /// # Panics
    /// If it is not a number above 0.
    pub fn tokens_per_second(mut self, rate: f64) -> Self {
        assert!(rate > 0.0 && rate.is_finite(), "tokens come at a rate above 0, not at {rate}");
        self.token_gap.0 = Duration::from_secs_f64(1.0 / rate);
        self
    }

    /// How far the times between tokens spread.
    pub fn token_spread(mut self, spread: f64) -> Self {
        self.token_gap.1 = checked_spread(spread);
        self
    }

    /// How many tokens a reply has.
    pub fn reply_tokens(mut self, tokens: u64) -> Self {
        self.reply_tokens = tokens;
        self
    }

    /// What it replies with, a word a token; otherwise it counts its tokens.
    pub fn text(mut self, text: impl Into<Arc<str>>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The share of requests answered with 429, and the `Retry-After` that comes with it.
    pub fn rate_limited(mut self, share: f64, retry_after: Duration) -> Self {
        self.rate_limited = (checked_share(share), retry_after);
        self
    }

    /// The share of requests answered with 500.
    pub fn failing(mut self, share: f64) -> Self {
        self.failing = checked_share(share);
        self
    }

    /// The share of replies that break off half-way, without a finish reason.
    pub fn truncated(mut self, share: f64) -> Self {
        self.truncated = checked_share(share);
        self
    }

    /// The share of replies that stop half-way and never go on.
    pub fn hanging(mut self, share: f64) -> Self {
        self.hanging = checked_share(share);
        self
    }

    /// Which of the many possible runs this is.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many requests it has had; of all clones together.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    async fn reply(self, request: Request, events: EventSender) -> Result<()> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut dice = fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let fate = Fate::draw(&self, &mut dice);
        pause(self.first_token, &mut dice).await;
        match fate {
            Fate::RateLimited => {
                let error = ModelError::new(ModelErrorClass::RateLimited, "too many requests (simulated)");
                return Err(error.with_status(429).with_retry_after(self.rate_limited.1).into_error());
            }
            Fate::Failing => {
                let error = ModelError::new(ModelErrorClass::Server, "internal error (simulated)");
                return Err(error.with_status(500).into_error());
            }
            Fate::Whole | Fate::Truncated | Fate::Hanging => {}
        }
        let request_id = Some(format!("simulated-{number}"));
        events.send(ModelEvent::Started { model: Some(self.name.to_string()), request_id }).await?;
        let words: Vec<&str> = self.text.as_deref().map_or(Vec::new(), |text| text.split_inclusive(' ').collect());
        let tokens = if words.is_empty() { self.reply_tokens } else { words.len() as u64 };
        for index in 0..=tokens {
            match fate {
                Fate::Truncated if index == tokens / 2 => return Ok(()),
                Fate::Hanging if index == tokens / 2 => std::future::pending().await,
                _ if index == tokens => break,
                _ => {}
            }
            if index > 0 {
                pause(self.token_gap, &mut dice).await;
            }
            let word = words.get(index as usize).map_or_else(|| format!("{} ", index + 1), |word| (*word).to_owned());
            events.send(ModelEvent::Text(word)).await?;
        }
        events.send(ModelEvent::Usage(Usage::new(estimate(&request), tokens))).await?;
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

/// What becomes of one request.
#[derive(Clone, Copy)]
enum Fate {
    Whole,
    RateLimited,
    Failing,
    Truncated,
    Hanging,
}

impl Fate {
    fn draw(model: &SimulatedModel, dice: &mut fastrand::Rng) -> Fate {
        let mut at = dice.f64();
        let shares = [
            (model.rate_limited.0, Fate::RateLimited),
            (model.failing, Fate::Failing),
            (model.truncated, Fate::Truncated),
            (model.hanging, Fate::Hanging),
        ];
        for (share, fate) in shares {
            if at < share {
                return fate;
            }
            at -= share;
        }
        Fate::Whole
    }
}

/// Waits for a time that is log-normal around its median.
async fn pause((median, spread): (Duration, f64), dice: &mut fastrand::Rng) {
    if median.is_zero() {
        return;
    }
    // Box and Muller (1958): two uniform numbers make a normal one.
    let normal = (-2.0 * (1.0 - dice.f64()).ln()).sqrt() * (std::f64::consts::TAU * dice.f64()).cos();
    // Beyond a hundred times the median it is no spread but a hang, and there is a share for those.
    let factor = (spread * normal).exp().min(100.0);
    sleep(median.mul_f64(factor)).await;
}

fn checked_spread(spread: f64) -> f64 {
    assert!(spread >= 0.0 && spread.is_finite(), "a spread is a number from 0, not {spread}");
    spread
}

fn checked_share(share: f64) -> f64 {
    assert!((0.0..=1.0).contains(&share), "a share is between 0 and 1, not {share}");
    share
}
