//! Idle timeouts.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use crate::context::node::NodeKind;
use crate::context::{Context, Heartbeat};
use crate::display;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::event::EventKind;
use crate::runtime::timing::after;
use crate::step::{Step, StepInfo};

/// A step that is cancelled when it gives no sign of life; made by [`Step::idle_timeout`].
///
/// For work of unknown length, such as a model that streams its reply, where a total timeout would cancel
/// healthy calls. [`Context::emit`] ends the wait for the first output. From then on it and
/// [`Context::heartbeat`] both restart the idle time.
#[derive(Clone, Debug)]
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
        let heartbeat = Arc::new(Heartbeat::default());
        let cx = cx.child(NodeKind::Heartbeat(heartbeat.clone()));

        let mut work = pin!(self.step.run(input, &cx));
        // Signs of life can come from other tasks, which do not wake this one. So the timer fires at least once
        // per idle time, and only then are they read.
        let mut timer = pin!(unconstrained(sleep_until(after(started, self.first.min(self.idle)))));
        let silence = poll_fn(|task| {
            if let Poll::Ready(result) = work.as_mut().poll(task) {
                return Poll::Ready(Ok(result));
            }
            while timer.as_mut().poll(task).is_ready() {
                let signs = heartbeat.times();
                let (since, allowed) = match signs.last {
                    _ if signs.paused > 0 => (Instant::now(), self.idle),
                    Some(last) if signs.first.is_some() => (last, self.idle),
                    _ => (started, self.first),
                };
                let (now, end) = (Instant::now(), after(since, allowed));
                if end <= now {
                    return Poll::Ready(Err((allowed, signs.first.is_some())));
                }
                timer.set(unconstrained(sleep_until(end.min(after(now, self.idle)))));
            }
            Poll::Pending
        })
        .await;
        silence.unwrap_or_else(|(after, any_output)| {
            cx.record_event(|| EventKind::TimedOut { after });
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
