//! Branches that run in the task of their caller: the common part of tuples in groups and races.
//!
//! Nothing is spawned and nothing is boxed, so a branch can be dropped at any time and is gone at once. A panic
//! in one branch is the error of that branch. Every wake polls all unfinished branches, which suits the few of
//! a tuple or a race; for many, see [`WorkerPool`](crate::runtime::executor::WorkerPool).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{self, Poll};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::runtime::executor::catch_panic;
use crate::step::Step;

/// A branch: its future until it completes or is stopped, then its result.
pub(crate) struct Branch<'a, F, T> {
    work: Pin<&'a mut Option<F>>,
    result: Option<Result<T>>,
}

/// Returns the work of a branch as a future that calls the step when first polled.
///
/// So a panic while the step creates its future is caught in the same place as a panic in the future.
pub(crate) fn lazy<'a, S: Step>(
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

    /// Returns the result, or `None` if the branch was stopped before it had one.
    pub(crate) fn take(&mut self) -> Option<Result<T>> {
        self.result.take()
    }
}

/// A branch with its output type erased.
pub(crate) trait DynBranch: Send {
    /// Polls the work. Ready once, with the error if it failed; pending for ever after that.
    fn poll_branch(&mut self, task: &mut task::Context<'_>) -> Poll<Option<Error>>;

    /// Drops the work. A branch that has a result keeps it.
    fn stop(&mut self);
}

impl<F, T> DynBranch for Branch<'_, F, T>
where
    F: Future<Output = Result<T>> + Send,
    T: Send,
{
    fn poll_branch(&mut self, task: &mut task::Context<'_>) -> Poll<Option<Error>> {
        if self.work.is_none() {
            return Poll::Pending;
        }
        let work = &mut self.work;
        // A panic in a destructor is an error like one in the work itself.
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
        // The work no longer counts, so a panic in its destructor has no receiver.
        let _ = catch_panic(|| self.work.set(None));
    }
}

/// Runs branches until all are done, or with `fail_fast` until one fails; at most `limit` at a time, started in
/// order.
pub(crate) async fn run_all(branches: &mut [&mut dyn DynBranch], limit: usize, fail_fast: bool) {
    let total = branches.len();
    let (mut done, mut first) = (0, 0);
    poll_fn(|task| {
        let started = total.min(limit.saturating_add(done));
        // Starts with another branch at each poll, so that a branch that is always ready starves no other.
        for offset in 0..started {
            let index = if first + offset < started { first + offset } else { first + offset - started };
            let Poll::Ready(error) = branches[index].poll_branch(task) else { continue };
            done += 1;
            if done == total || (fail_fast && error.is_some()) {
                return Poll::Ready(());
            }
        }
        first = if first + 1 < started { first + 1 } else { 0 };
        if started < total.min(limit.saturating_add(done)) {
            // A finished branch has made room for another one.
            task.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}
