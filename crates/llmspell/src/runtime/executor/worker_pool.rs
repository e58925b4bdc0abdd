//! A bounded worker pool: the executor under streams and groups.
//!
//! Each worker is a task that takes a job, runs it, and takes the next, which is cheaper than a task for each
//! job (`cargo bench -p llmspell -- stream`). Its promises:
//!
//! - Jobs in flight keep running however busy the owner is: nothing depends on the owner being polled.
//! - Each job gives exactly one output, even if it panics or its worker is lost.
//! - Dropping the pool aborts every worker.
//! - A worker yields after a few jobs, so that ready work does not starve other tasks.
//!
//! # Assigning jobs to workers
//!
//! One mutex guards two queues, jobs and outputs, and the list of idle workers. Two invariants hold
//! whenever it is free:
//!
//! 1. There are at least as many workers as unfinished jobs, so that every job can run at the same time.
//! 2. While a job waits, at least one worker is *searching*: it was woken or started, and will look for a job.
//!
//! A searching worker that takes a job and leaves others behind wakes the next worker before it begins. So a pool
//! wakes as many workers as it has work for, and no more. If jobs are ready at once, one or two workers run all of
//! them, and no time is spent on waking the others.
//!
//! Jobs that compute need more care; [`yield_policy`](super::yield_policy) explains why. Until jobs have proved to be
//! short, a worker runs one at a time, and the owner wakes one worker for each job.

#[cfg(all(test, shuttle))]
mod schedules;
mod worker;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::spawn_abortable;
use super::yield_policy::JobLengthEstimate;
use crate::error::{Error, ErrorKind};
use crate::runtime::sync::{AbortHandle, Mutex, MutexGuard, lock};
use crate::runtime::timing::within;
use worker::WorkerGuard;

/// How long [`WorkerPool::stop`] waits for the workers to end.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// The work of a pool: how one job runs.
pub(crate) trait PoolTask: Send + Sync + 'static {
    type Input: Send + 'static;
    type Out: Send + 'static;
    /// The guard that the owner holds. Dropping it while a job runs makes the job a runaway.
    type CallerGuard: Send + Sync + 'static;
    /// The guard that keeps the permits of the jobs until the pool is done.
    type WorkGuard: Send + Sync + 'static;

    /// Runs one job.
    fn run(&self, index: usize, job: Self::Input) -> impl Future<Output = Self::Out> + Send;

    /// Returns the output of a job that could not finish: it panicked, or its worker was lost.
    fn lost(&self, index: usize, error: Error) -> Self::Out;
}

/// A pool of worker tasks that run jobs for one owner.
pub(crate) struct WorkerPool<W: PoolTask> {
    shared: Arc<PoolShared<W>>,
    workers: Vec<AbortHandle>,
    /// Outputs taken out of the shared state, so that they are delivered without its lock.
    ready: VecDeque<W::Out>,
    /// Dropped after the workers are aborted: a job that still runs then is a runaway.
    _caller_guard: W::CallerGuard,
}

struct PoolShared<W: PoolTask> {
    work: W,
    state: Mutex<PoolState<W>>,
}

struct PoolState<W: PoolTask> {
    jobs: VecDeque<(usize, W::Input)>,
    outputs: VecDeque<W::Out>,
    running: usize,
    /// Workers that exist.
    alive: usize,
    /// Workers that were woken or started and have not looked for a job yet.
    searching: usize,
    /// The numbers of workers without a job; the last to have worked is the first to be woken.
    idle: Vec<usize>,
    /// The state of each worker, by its number.
    workers: Vec<WorkerState>,
    /// The waker of the owner, while it waits for an output or for the last worker to end.
    owner: Option<Waker>,
    job_length: JobLengthEstimate,
    /// Keeps the permits that the jobs run under, until the pool is done.
    work_guard: Option<W::WorkGuard>,
    /// Set once the owner wants no more outputs.
    closed: bool,
    /// Set when a worker was dropped before it could look for a job: its runtime is shutting down.
    lost_worker: bool,
}

enum WorkerState {
    Searching,
    Working,
    Idle(Waker),
    Gone,
}

impl<W: PoolTask> WorkerPool<W> {
    /// Creates a pool that runs under `guards`. The work's guard is dropped when the pool is done, or once the last job
    /// that outlives it has ended.
    pub(crate) fn new(guards: (W::CallerGuard, W::WorkGuard), work: W) -> Self {
        let (caller_guard, work_guard) = guards;
        let state = PoolState {
            jobs: VecDeque::new(),
            outputs: VecDeque::new(),
            running: 0,
            alive: 0,
            searching: 0,
            idle: Vec::new(),
            workers: Vec::new(),
            owner: None,
            job_length: JobLengthEstimate::default(),
            work_guard: Some(work_guard),
            closed: false,
            lost_worker: false,
        };
        WorkerPool {
            shared: Arc::new(PoolShared { work, state: Mutex::new(state) }),
            workers: Vec::new(),
            ready: VecDeque::new(),
            _caller_guard: caller_guard,
        }
    }

    /// Returns the work of the pool.
    pub(crate) fn work(&self) -> &W {
        &self.shared.work
    }

    /// Submits all of `jobs`. The caller bounds how many are in flight.
    pub(crate) fn submit(&mut self, jobs: &mut VecDeque<(usize, W::Input)>) {
        let mut state = self.shared.lock();
        state.jobs.append(jobs);
        let new_workers = (state.jobs.len() + state.running).saturating_sub(state.alive);
        if new_workers == 0 {
            let wanted = if state.job_length.are_short() { 1 } else { state.jobs.len() };
            let woken: Vec<Waker> = std::iter::from_fn(|| state.wake_one(wanted)).collect();
            drop(state);
            return woken.into_iter().for_each(Waker::wake);
        }
        let first = state.workers.len();
        state.alive += new_workers;
        state.searching += new_workers;
        state.workers.extend(std::iter::repeat_with(|| WorkerState::Searching).take(new_workers));
        drop(state);
        for number in first..first + new_workers {
            self.workers.push(spawn_abortable(worker::work(WorkerGuard::new(&self.shared, number))));
        }
    }

    /// Polls for the next output, in the order in which jobs end. Pending while there is none, even if there are no
    /// jobs: the owner knows whether any are left.
    pub(crate) fn poll_next(&mut self, task: &mut task::Context<'_>) -> Poll<W::Out> {
        if let Some(out) = self.ready.pop_front() {
            return Poll::Ready(out);
        }
        let mut state = self.shared.lock();
        if std::mem::take(&mut state.lost_worker) {
            // The waiting jobs are lost. The owner itself still runs, perhaps on another runtime, so later jobs may
            // succeed.
            let lost_jobs: Vec<usize> = state.jobs.drain(..).map(|(index, _)| index).collect();
            state.outputs.extend(lost_jobs.into_iter().map(|index| self.shared.work.lost(index, shut_down())));
        }
        std::mem::swap(&mut state.outputs, &mut self.ready);
        match self.ready.pop_front() {
            Some(out) => Poll::Ready(out),
            None => {
                state.wait(task);
                // Only if a worker was lost to a panic in a destructor.
                let needs_worker = state.alive == 0 && !state.jobs.is_empty();
                drop(state);
                if needs_worker {
                    self.submit(&mut VecDeque::new());
                }
                Poll::Pending
            }
        }
    }

    /// Waits for the next output; the caller knows that there will be one.
    pub(crate) async fn next(&mut self) -> W::Out {
        poll_fn(|task| self.poll_next(task)).await
    }

    /// Stops everything as [`WorkerPool::halt`] does, and waits until every worker has ended or [`GRACE`] is over. Work
    /// that does not yield to the scheduler cannot be dropped.
    pub(crate) async fn stop(&mut self) {
        self.halt();
        within(Instant::now() + GRACE, poll_fn(|task| self.poll_ended(task))).await;
    }

    /// Stops everything, and discards outputs that have not been taken.
    pub(crate) fn abort(&mut self) {
        self.halt();
        let outputs = std::mem::take(&mut self.shared.lock().outputs);
        // Outside of the lock: dropping outputs may run user code, or panic.
        drop((outputs, std::mem::take(&mut self.ready)));
    }

    /// Starts no further job, and aborts running ones. The outputs of jobs that have ended can still be polled, and so
    /// can those of jobs that end before they can be dropped.
    pub(crate) fn halt(&mut self) {
        let abandoned = {
            let mut state = self.shared.lock();
            state.closed = true;
            let work_guard = state.take_work_guard();
            (std::mem::take(&mut state.jobs), work_guard)
        };
        for worker in self.workers.drain(..) {
            worker.abort();
        }
        // Dropped last, and outside of the lock: dropping jobs may run user code, or panic.
        drop(abandoned);
    }

    /// Ready once no worker is alive. Only useful after [`WorkerPool::halt`].
    pub(crate) fn poll_ended(&mut self, task: &mut task::Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if state.alive == 0 {
            return Poll::Ready(());
        }
        state.wait(task);
        Poll::Pending
    }
}

impl<W: PoolTask> Drop for WorkerPool<W> {
    fn drop(&mut self) {
        self.abort();
    }
}

impl<W: PoolTask> PoolShared<W> {
    fn lock(&self) -> MutexGuard<'_, PoolState<W>> {
        lock(&self.state)
    }
}

impl<W: PoolTask> PoolState<W> {
    /// Makes an idle worker search, if jobs wait and fewer than `wanted` workers search for them.
    #[must_use = "wake it after the lock is released"]
    fn wake_one(&mut self, wanted: usize) -> Option<Waker> {
        if self.jobs.is_empty() || self.searching >= wanted {
            return None;
        }
        while let Some(number) = self.idle.pop() {
            // A worker that died idle is still on the list.
            if let WorkerState::Idle(_) = self.workers[number]
                && let WorkerState::Idle(waker) = std::mem::replace(&mut self.workers[number], WorkerState::Searching)
            {
                self.searching += 1;
                return Some(waker);
            }
        }
        None
    }

    /// Returns the guard of the permits once no job can need them any more.
    fn take_work_guard(&mut self) -> Option<W::WorkGuard> {
        if self.closed && self.running == 0 { self.work_guard.take() } else { None }
    }

    fn wait(&mut self, task: &task::Context<'_>) {
        match &self.owner {
            Some(owner) if owner.will_wake(task.waker()) => {}
            _ => self.owner = Some(task.waker().clone()),
        }
    }
}

fn shut_down() -> Error {
    Error::new(ErrorKind::Cancelled, "the runtime shut down")
}
