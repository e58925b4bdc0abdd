//! Branches that run in the task of their caller: what tuples of steps have in common.
//!
//! Nothing is spawned and nothing is boxed, so a branch may be dropped at any instant and is gone by then.
//! A panic in one branch is that branch's error. Every wake polls all branches that are not done, which
//! suits the few that a tuple or a race has; for many, see [`WorkerPool`](crate::runtime::executor::WorkerPool).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{self, Poll};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::runtime::executor::catch_panic;
use crate::step::Step;

/// One branch: its future until it is done or stopped, then its result.
pub(crate) struct Branch<'a, F, T> {
    work: Pin<&'a mut Option<F>>,
    result: Option<Result<T>>,
}

/// The work of a branch, which begins when it is first polled: then a closure that panics before it has a
/// future is met where one that panics in its future is.
pub(crate) fn later<'a, S: Step>(
    step: &'a S,
    input: S::In,
    cx: &'a Context,
) -> Option<impl Future<Output = Result<S::Out>> + Send + use<'a, S>> {
    Some(async move { step.run(input, cx).await })
}

impl<'a, F, T> Branch<'a, F, T> {
    pub(crate) fn new(work: Pin<&'a mut Option<F>>) -> Self {
        Branch { work, result: None }
    }

    /// The result; `None` if the branch was stopped before it had one.
    pub(crate) fn take(&mut self) -> Option<Result<T>> {
        self.result.take()
    }
}

/// A branch whose output type does not matter.
pub(crate) trait Advance: Send {
    /// Goes on with the work. Ready once, with the error if it failed; pending for ever after that.
    fn advance(&mut self, task: &mut task::Context<'_>) -> Poll<Option<Error>>;

    /// Drops the work. The branch keeps its result if it has one.
    fn stop(&mut self);
}

impl<F, T> Advance for Branch<'_, F, T>
where
    F: Future<Output = Result<T>> + Send,
    T: Send,
{
    fn advance(&mut self, task: &mut task::Context<'_>) -> Poll<Option<Error>> {
        if self.work.is_none() {
            return Poll::Pending;
        }
        let work = &mut self.work;
        // A panic on the way out, in a destructor, is an error like one in the work itself.
        let poll = catch_panic(|| {
            let poll = work.as_mut().as_pin_mut().map_or(Poll::Pending, |work| work.poll(task));
            if poll.is_ready() {
                work.set(None);
            }
            poll
        });
        let result = match poll {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => {
                self.stop();
                Err(panic)
            }
        };
        let error = result.as_ref().err().cloned();
        self.result = Some(result);
        Poll::Ready(error)
    }

    fn stop(&mut self) {
        // Nobody is left to hear of a panic in a destructor of work that does not count any more.
        let _ = catch_panic(|| self.work.set(None));
    }
}

/// Runs branches until all of them are done, or with `fail_fast` one of them has failed; at most `limit` at
/// once, started in order.
pub(crate) async fn run_all(branches: &mut [&mut dyn Advance], limit: usize, fail_fast: bool) {
    let total = branches.len();
    let (mut done, mut first) = (0, 0);
    poll_fn(|task| {
        let started = total.min(limit.saturating_add(done));
        // Starting with another one each time: a branch that is always busy starves none of the others.
        for turn in 0..started {
            let index = if first + turn < started { first + turn } else { first + turn - started };
            let Poll::Ready(error) = branches[index].advance(task) else { continue };
            done += 1;
            if done == total || (fail_fast && error.is_some()) {
                return Poll::Ready(());
            }
        }
        first = if first + 1 < started { first + 1 } else { 0 };
        if started < total.min(limit.saturating_add(done)) {
            // A branch that has ended made room for another.
            task.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}
