//! A step under a rate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Rate;
use super::limiter::{Admission, RateLimiter};
use super::reservation::{RateGuard, RateReservation};
use crate::context::{Context, MeterId};
use crate::control::ewma::Ewma;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::runtime::sync::{Mutex, lock};
use crate::step::{Step, StepInfo};

/// A step under a rate; created by [`Step::rate`].
#[must_use = "a step does nothing until it runs"]
pub struct RateLimited<S: Step> {
    step: S,
    rate: Rate,
    estimate: Option<Arc<Estimate<S::In>>>,
    usual_tokens: Arc<Mutex<Ewma>>,
    /// Whether this adapter reports the start of a call, because no adapter further in does.
    reports_start: bool,
}

type Estimate<In> = dyn Fn(&In) -> u64 + Send + Sync;

impl<S: Step> RateLimited<S> {
    pub(crate) fn new(step: S, rate: Rate) -> Self {
        let reports_start = rate.limiter.is_some() && !step.info().reports_start;
        RateLimited { step, rate, estimate: None, usual_tokens: Arc::default(), reports_start }
    }

    /// Estimates from the input how many tokens a call uses, input and output.
    pub fn estimate(mut self, tokens: impl Fn(&S::In) -> u64 + Send + Sync + 'static) -> Self {
        self.estimate = Some(Arc::new(tokens));
        self
    }

    /// Returns the best available estimate of the tokens of a call.
    fn estimated(&self, input: &S::In) -> u64 {
        if self.rate.settings.tokens.is_none() {
            return 0;
        }
        if let Some(estimate) = &self.estimate {
            return estimate(input);
        }
        let from_input = self.rate.estimate_with.as_ref().and_then(|estimate| estimate(input));
        from_input.or(self.rate.estimate).unwrap_or_else(|| lock(&self.usual_tokens).rounded_up().unwrap_or_default())
    }

    /// Returns an admission that was revoked, because a pause has begun at a rate further out, and waits for both.
    async fn acquire_again(&self, limiter: &RateLimiter, mut revoked: Admission, cx: &Context) -> Result<Admission> {
        let (tokens, name) = (revoked.tokens, self.step.info().name);
        loop {
            limiter.refund(revoked.tokens, revoked.pauses);
            cx.renew_reservations(name).await?;
            revoked = limiter.acquire(tokens, cx, name).await?;
            if !cx.is_revoked() {
                return Ok(revoked);
            }
        }
    }

    /// Pauses the rate if the server asks for it.
    fn follow_server(&self, limiter: &RateLimiter, result: &Result<S::Out>, tokens: u64, cx: &Context) {
        if let Err(error) = result
            && let Some(pause) = requested_pause(error)
            && limiter.pause(pause, tokens)
        {
            cx.record_event(|| EventKind::RatePaused { pause });
        }
    }
}

impl<S: Step> Step for RateLimited<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let Some(limiter) = &self.rate.limiter else { return self.step.run(input, cx).await };
        let tokens = self.estimated(&input);
        if cx.take_over_reservation(MeterId::of(limiter)) {
            if self.reports_start {
                cx.report_start();
            }
            let result = self.step.run(input, cx).await;
            self.follow_server(limiter, &result, tokens, cx);
            return result;
        }
        let mut admission = limiter.acquire(tokens, cx, self.step.info().name).await?;
        if admission.waited && cx.is_revoked() {
            admission = Box::pin(self.acquire_again(limiter, admission, cx)).await?;
        }
        if self.reports_start {
            cx.report_start();
        }
        let call = RateGuard::new(RateReservation::new(limiter, &self.usual_tokens, admission, self.reports_start));
        let result = self.step.run(input, &cx.with_meter(call.meter())).await;
        self.follow_server(limiter, &result, tokens, cx);
        call.end(&result);
        result
    }

    fn info(&self) -> StepInfo<'_> {
        let info = self.step.info();
        if self.rate.limiter.is_some() { info.reporting_start() } else { info }
    }
}

impl<S: Step + Clone> Clone for RateLimited<S> {
    fn clone(&self) -> Self {
        RateLimited {
            step: self.step.clone(),
            rate: self.rate.clone(),
            estimate: self.estimate.clone(),
            usual_tokens: self.usual_tokens.clone(),
            reports_start: self.reports_start,
        }
    }
}

impl<S: Step + fmt::Debug> fmt::Debug for RateLimited<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimited").field("step", &self.step).field("rate", &self.rate).finish_non_exhaustive()
    }
}

/// Returns the pause that the server asked for. A rejection by flow control does not come from a server.
fn requested_pause(error: &Error) -> Option<Duration> {
    match error.kind() {
        ErrorKind::Rejected => None,
        ErrorKind::AllFailed => error.causes().iter().filter_map(requested_pause).max(),
        _ => error.retry_after(),
    }
}
