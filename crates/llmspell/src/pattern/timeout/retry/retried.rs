//! The adapter that retries a step.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::stop_reason::StopReason;
use super::{NextAttempt, Retry};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::runtime::timing::{after, within, yield_if_due};
use crate::step::{Step, StepInfo};

/// A step that is retried; made by [`Step::retry`].
///
/// The [context](Context::attempt) of the step has the attempt number, and the [`Outcome`](crate::Outcome) has
/// the failures before a success. A retry that gives up fails with [`ErrorKind::AllFailed`] and all attempts as
/// causes. An error that is not worth a second attempt is returned as it is.
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it runs"]
pub struct Retried<S> {
    step: S,
    policy: Retry,
}

impl<S> Retried<S> {
    pub(crate) fn new(step: S, policy: Retry) -> Self {
        Retried { step, policy }
    }
}

impl<S: Step> Retried<S> {
    /// Waits before the next attempt and prepares it. Fails with the reason if it must not start.
    async fn prepare(&self, attempt: u32, next: NextAttempt<'_>, cx: &mut Context) -> Result<(), StopReason> {
        cx.record_event(|| EventKind::Retrying { attempt, delay: next.wait });
        wait_before_retry(next.wait, cx).await?;
        self.recheck(cx).await?;
        cx.set_attempt(attempt);
        cx.record_cost(|collected| collected.add_retry());
        cx.send_restarted(next.output_seen).await;
        if let Some(taken) = next.taken {
            taken.spend();
        }
        Ok(())
    }

    /// Checks after the wait that the next attempt may still start.
    async fn recheck(&self, cx: &Context) -> Result<(), StopReason> {
        if let Some(retries) = cx.retries()
            && !self.step.info().idempotent
            && !retries.wait_for_runaways(cx).await
        {
            return Err(if cx.is_signalled() { StopReason::Cancelled } else { StopReason::Runaway });
        }
        // Timers and the scheduler can be late, and the wait may have been planned to the last moment.
        if cx.is_past_deadline() { Err(StopReason::Deadline) } else { Ok(()) }
    }
}

impl<S: Step<In: Clone>> Step for Retried<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        let deposited = self.policy.retry_budget.as_ref().and_then(|budget| budget.deposit_once(cx));
        let cx = deposited.as_ref().unwrap_or(cx);
        if self.policy.attempts == 1 {
            return self.step.run(input, cx).await;
        }
        let mut cx = cx.under_retry(self.policy.attempts - 1);
        let mut failures: Vec<Error> = Vec::new();
        let mut input = Some(input);
        for attempt in 1.. {
            // The last attempt takes the input itself.
            let copy = if attempt == self.policy.attempts { input.take() } else { input.clone() };
            let Some(copy) = copy else { break };
            cx.set_attempt(attempt);
            // The provenance of a failed attempt does not count.
            let trial = cx.trial_scope();
            let error = match self.step.run(copy, trial.as_ref().unwrap_or(&cx)).await {
                Ok(output) => {
                    if let Some(trial) = &trial {
                        cx.merge_provenance(trial);
                    }
                    if !failures.is_empty() {
                        cx.record_provenance(|collected| collected.add_failures(failures));
                    }
                    return Ok(output);
                }
                Err(error) => error.at(|| cx.path()),
            };
            cx.record_event(|| EventKind::AttemptFailed { attempt, error: (&error).into() });
            let stop = match self.policy.next(attempt, &error, &cx) {
                Err(StopReason::Final) if failures.is_empty() => return Err(error),
                Err(stop) => {
                    failures.push(error);
                    stop
                }
                Ok(next) => {
                    failures.push(error);
                    match self.prepare(attempt + 1, next, &mut cx).await {
                        Ok(()) => continue,
                        Err(stop) => stop,
                    }
                }
            };
            return Err(give_up(&stop, failures, &cx));
        }
        unreachable!("the last attempt either succeeds or is refused a successor")
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}

/// Waits between attempts. Fails if the work is cancelled meanwhile.
async fn wait_before_retry(wait: Duration, cx: &Context) -> Result<(), StopReason> {
    if wait.is_zero() {
        yield_if_due().await;
        return if cx.is_signalled() { Err(StopReason::Cancelled) } else { Ok(()) };
    }
    if !cx.has_signals() {
        sleep(wait).await;
        return Ok(());
    }
    within(after(Instant::now(), wait), cx.signalled()).await.map_or(Ok(()), |()| Err(StopReason::Cancelled))
}

/// Records that there is no further attempt, and returns the error of the retry.
fn give_up(stop: &StopReason, failures: Vec<Error>, cx: &Context) -> Error {
    if let Some(reason) = stop.event_reason() {
        cx.record_event(|| EventKind::RetryRefused { reason });
    }
    let attempts = u32::try_from(failures.len()).unwrap_or(u32::MAX);
    let last = failures.last().map(|error| error.message().to_owned()).unwrap_or_default();
    let error = Error::new(ErrorKind::AllFailed, format!("{}: {last}", stop.explain(attempts)));
    let error = error.with_causes(failures).with_attempts(attempts).at(|| cx.path());
    match stop {
        StopReason::Runaway => error.with_hint(
            "wait longer between attempts, or declare the step `.idempotent()` if two concurrent attempts do no harm",
        ),
        _ => error,
    }
}
