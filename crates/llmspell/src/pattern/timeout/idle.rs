//! Timeouts that listen for signs of life.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use crate::context::node::Facet;
use crate::context::{Context, Heartbeat};
use crate::display;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::runtime::executor::after;
use crate::step::{Step, StepInfo};

/// A step that is stopped when it goes silent; made by [`Step::idle_timeout`].
///
/// For work that takes as long as it takes, such as a model that streams its answer: a total timeout would
/// kill healthy calls. [`Context::emit`] ends the wait for the first output; from then on it and
/// [`Context::heartbeat`] both restart the idle clock.
#[derive(Clone)]
#[must_use = "a step does nothing until it runs"]
pub struct IdleTimeout<S> {
    step: S,
    first: Duration,
    idle: Duration,
}

impl<S> IdleTimeout<S> {
    pub(crate) fn new(step: S, first: Duration, idle: Duration) -> Self {
        IdleTimeout { step, first, idle }
    }
}

impl<S: Step> Step for IdleTimeout<S> {
    type In = S::In;
    type Out = S::Out;

    async fn run(&self, input: S::In, cx: &Context) -> Result<S::Out> {
        cx.check_deadline()?;
        let started = Instant::now();
        let pulse = Arc::new(Heartbeat::default());
        let cx = cx.child(Facet::Heartbeat(pulse.clone()));

        let mut work = pin!(self.step.run(input, &cx));
        // Signs of life may come from other tasks and wake nobody here. So the alarm goes off at least once
        // in each idle time, and only then are they looked at.
        let mut alarm = pin!(unconstrained(sleep_until(after(started, self.first.min(self.idle)))));
        let silence = poll_fn(|task| {
            if let Poll::Ready(result) = work.as_mut().poll(task) {
                return Poll::Ready(Ok(result));
            }
            while alarm.as_mut().poll(task).is_ready() {
                let beats = pulse.beats();
                let (since, allowed) = match beats.last {
                    _ if beats.paused > 0 => (Instant::now(), self.idle),
                    Some(last) if beats.first.is_some() => (last, self.idle),
                    _ => (started, self.first),
                };
                let (now, end) = (Instant::now(), after(since, allowed));
                if end <= now {
                    return Poll::Ready(Err((allowed, beats.first.is_some())));
                }
                alarm.set(unconstrained(sleep_until(end.min(after(now, self.idle)))));
            }
            Poll::Pending
        })
        .await;
        silence.unwrap_or_else(|(after, any_output)| {
            cx.fact(|| EventKind::TimedOut { after });
            let time = display::duration(after);
            let message =
                if any_output { format!("no sign of life for {time}") } else { format!("no output within {time}") };
            Err(Error::new(ErrorKind::Timeout, message).at(|| cx.path()))
        })
    }

    fn info(&self) -> StepInfo<'_> {
        self.step.info()
    }
}
