//! A worker of the pool: a task that takes jobs until it is aborted.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use super::super::catch_panic;
use super::super::yield_policy::YieldBudget;
use super::{PoolShared, PoolState, PoolTask, WorkerState, shut_down};
use crate::error::{Error, ErrorKind};

/// Runs jobs until the task is aborted.
pub(super) async fn work<W: PoolTask>(mut guard: WorkerGuard<W>) {
    let mut finished = None;
    let mut budget = YieldBudget::default();
    loop {
        let (index, job) = guard.next_job(&mut finished, &mut budget).await;
        let mut run = pin!(guard.shared.work.run(index, job));
        let out = poll_fn(|task| {
            let poll = catch_panic(|| run.as_mut().poll(task));
            if let Ok(Poll::Pending) = poll {
                budget.yielded();
            }
            match poll {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        })
        .await;
        budget.stop_timer();
        finished = Some(out.unwrap_or_else(|panic| guard.shared.work.lost(index, panic)));
    }
}

/// A worker as the pool counts it. However its task ends, dropping the guard corrects the counts.
pub(super) struct WorkerGuard<W: PoolTask> {
    shared: Arc<PoolShared<W>>,
    number: usize,
    /// The index of the job that the worker runs.
    job: Option<usize>,
}

impl<W: PoolTask> WorkerGuard<W> {
    pub(super) fn new(shared: &Arc<PoolShared<W>>, number: usize) -> Self {
        WorkerGuard { shared: shared.clone(), number, job: None }
    }

    /// Delivers the finished output, and waits for the next job.
    async fn next_job(&mut self, finished: &mut Option<W::Out>, budget: &mut YieldBudget) -> (usize, W::Input) {
        poll_fn(|task| self.poll_next_job(finished, budget, task)).await
    }

    fn poll_next_job(
        &mut self,
        finished: &mut Option<W::Out>,
        budget: &mut YieldBudget,
        task: &task::Context<'_>,
    ) -> Poll<(usize, W::Input)> {
        let mut locked = self.shared.lock();
        let state = &mut *locked;
        match &mut state.workers[self.number] {
            // Not woken by the pool, but by something that an earlier job has left, such as a timer.
            WorkerState::Idle(waker) => {
                waker.clone_from(task.waker());
                return Poll::Pending;
            }
            WorkerState::Searching => state.searching -= 1,
            WorkerState::Working | WorkerState::Gone => {}
        }
        let delivers = finished.is_some();
        let mut owner = None;
        if let Some(out) = finished.take() {
            self.job = None;
            state.running -= 1;
            state.outputs.push_back(out);
            owner = state.owner.take();
        }
        state.job_length.record(budget);
        let jobs_are_short = state.job_length.are_short();
        let yields_first = if jobs_are_short { budget.is_used_up() } else { delivers };
        let (next_state, woken, poll) = state.assign(self.number, yields_first, task.waker());
        let searches_again = matches!(next_state, WorkerState::Searching);
        state.searching += usize::from(searches_again);
        state.workers[self.number] = next_state;
        match &poll {
            Poll::Pending => budget.yielded(),
            Poll::Ready((index, _)) => {
                self.job = Some(*index);
                state.running += 1;
                budget.start_job(jobs_are_short);
            }
        }
        drop(locked);
        owner.into_iter().chain(woken).for_each(Waker::wake);
        if searches_again {
            task.waker().wake_by_ref();
        }
        poll
    }
}

/// The next state of a worker, an idle worker to wake, and the job with its index.
type Assignment<Input> = (WorkerState, Option<Waker>, Poll<(usize, Input)>);

impl<W: PoolTask> PoolState<W> {
    /// Decides what a worker without a job does next, and which idle worker must be woken.
    fn assign(&mut self, number: usize, yields_first: bool, waker: &Waker) -> Assignment<W::Input> {
        if self.jobs.is_empty() {
            self.idle.push(number);
            return (WorkerState::Idle(waker.clone()), None, Poll::Pending);
        }
        if yields_first {
            return (WorkerState::Searching, None, Poll::Pending);
        }
        let woken = if self.jobs.len() > 1 { self.wake_one(1) } else { None };
        if woken.is_some() {
            // The scheduler queues the woken worker behind this one. It must not wait for the end of a job that may
            // be long.
            return (WorkerState::Searching, woken, Poll::Pending);
        }
        (WorkerState::Working, None, self.jobs.pop_front().map_or(Poll::Pending, Poll::Ready))
    }
}

impl<W: PoolTask> Drop for WorkerGuard<W> {
    fn drop(&mut self) {
        let mut locked = self.shared.lock();
        let state = &mut *locked;
        state.alive -= 1;
        match std::mem::replace(&mut state.workers[self.number], WorkerState::Gone) {
            WorkerState::Searching => {
                state.searching -= 1;
                state.lost_worker |= !state.closed;
            }
            WorkerState::Idle(_) | WorkerState::Working | WorkerState::Gone => {}
        }
        if let Some(index) = self.job.take() {
            state.running -= 1;
            if !state.closed {
                let error = if std::thread::panicking() { destructor_panicked() } else { shut_down() };
                state.outputs.push_back(self.shared.work.lost(index, error));
            }
        }
        let wakers = [state.owner.take(), state.wake_one(1)];
        let work_guard = state.take_work_guard();
        drop(locked);
        drop(work_guard);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

fn destructor_panicked() -> Error {
    Error::new(ErrorKind::Panicked, "panicked in a destructor")
}
