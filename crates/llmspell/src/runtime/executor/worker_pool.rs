//! A bounded crew of workers: the executor under streams and groups.
//!
//! Each worker is a task that takes a job, runs it, and takes the next, which is cheaper than a task for each
//! job (`cargo bench -p llmspell -- stream`). Its promises:
//!
//! - Jobs in flight keep running however busy the owner is: nothing depends on the owner being polled.
//! - Each job gives exactly one output, also if it panics or its worker is lost.
//! - Dropping the crew aborts every worker.
//! - A worker gives way after a few jobs, so that ready work starves nobody.
//!
//! # How jobs find workers
//!
//! One mutex guards two queues, jobs and outputs, and the list of idle workers. Two invariants hold
//! whenever it is free:
//!
//! 1. There are at least as many workers as unfinished jobs, so that every job can run at the same time.
//! 2. While a job waits, some worker is *searching*: it was woken or started, and will look.
//!
//! A searching worker that takes a job and leaves others behind wakes the next before it begins. So a
//! crew wakes as many workers as it has work for, and no more: if jobs are ready at once, one or two
//! workers do all of them, and nobody pays for waking the rest.
//!
//! Jobs that compute need more care; [`pace`](super::yield_policy) tells why. Until jobs have proved to be short, a
//! worker does one at a time, and the owner wakes a worker for each.

#[cfg(all(test, shuttle))]
mod schedules;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::yield_policy::{JobLengthEstimate, YieldBudget};
use super::{catch_panic, spawn_abortable, within};
use crate::context::{CallerGuard, Context, WorkGuard};
use crate::error::{Error, ErrorKind};
use crate::runtime::sync::{AbortHandle, Mutex, MutexGuard, lock};

/// How long the end of a crew waits for its workers.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// What a crew does with its jobs.
pub(crate) trait PoolTask: Send + Sync + 'static {
    type Job: Send + 'static;
    type Out: Send + 'static;

    /// Runs one job.
    fn run(&self, index: usize, job: Self::Job) -> impl Future<Output = Self::Out> + Send;

    /// The output of a job that could not end: it panicked, or its worker was lost.
    fn lost(&self, index: usize, error: Error) -> Self::Out;
}

pub(crate) struct WorkerPool<W: PoolTask> {
    shared: Arc<Shared<W>>,
    workers: Vec<AbortHandle>,
    /// Outputs taken out of the shared state, to be handed on without its lock.
    taken: VecDeque<W::Out>,
    /// Dropped after the workers are aborted: a job that goes on then is a runaway.
    _tether: CallerGuard,
}

struct Shared<W: PoolTask> {
    work: W,
    state: Mutex<State<W>>,
}

struct State<W: PoolTask> {
    jobs: VecDeque<(usize, W::Job)>,
    done: VecDeque<W::Out>,
    running: usize,
    /// Workers that exist.
    alive: usize,
    /// Workers that were woken or started and have not looked for a job yet.
    searching: usize,
    /// Workers without a job, by their number; the last to have worked is the first to be woken.
    idle: Vec<usize>,
    /// What each worker is doing, by its number.
    workers: Vec<Worker>,
    /// The owner, while it waits for an output or for the last worker to end.
    owner: Option<Waker>,
    trust: JobLengthEstimate,
    /// The permits that the jobs run under, until the crew is done.
    custody: Option<WorkGuard>,
    /// Set once the owner wants no more outputs.
    closed: bool,
    /// Set when a worker was dropped before it could look for a job: its runtime is shutting down.
    broken: bool,
}

enum Worker {
    Searching,
    Working,
    Idle(Waker),
    Gone,
}

impl<W: PoolTask> WorkerPool<W> {
    /// A crew that runs under the permits of `cx`: they go back when it is done, or once the last job that
    /// outlives it has ended.
    pub(crate) fn new(cx: &Context, work: W) -> Self {
        let (tether, custody) = cx.detached_task(Duration::ZERO);
        let state = State {
            jobs: VecDeque::new(),
            done: VecDeque::new(),
            running: 0,
            alive: 0,
            searching: 0,
            idle: Vec::new(),
            workers: Vec::new(),
            owner: None,
            trust: JobLengthEstimate::default(),
            custody: Some(custody),
            closed: false,
            broken: false,
        };
        WorkerPool {
            shared: Arc::new(Shared { work, state: Mutex::new(state) }),
            workers: Vec::new(),
            taken: VecDeque::new(),
            _tether: tether,
        }
    }

    /// What the crew does.
    pub(crate) fn work(&self) -> &W {
        &self.shared.work
    }

    /// Hands over jobs, emptying `jobs`. The caller bounds how many are in flight.
    pub(crate) fn submit(&mut self, jobs: &mut VecDeque<(usize, W::Job)>) {
        let mut state = self.shared.lock();
        state.jobs.append(jobs);
        let missing = (state.jobs.len() + state.running).saturating_sub(state.alive);
        if missing == 0 {
            let wanted = if state.trust.is_earned() { 1 } else { state.jobs.len() };
            let woken: Vec<Waker> = std::iter::from_fn(|| state.wake_one(wanted)).collect();
            drop(state);
            return woken.into_iter().for_each(Waker::wake);
        }
        let first = state.workers.len();
        state.alive += missing;
        state.searching += missing;
        state.workers.extend(std::iter::repeat_with(|| Worker::Searching).take(missing));
        drop(state);
        for number in first..first + missing {
            let membership = WorkerGuard { shared: self.shared.clone(), number, job: None };
            self.workers.push(spawn_abortable(worker(membership)));
        }
    }

    /// The next output, in the order in which jobs end. Pending while there is none, even if there are
    /// no jobs: the owner knows whether any are left.
    pub(crate) fn poll_next(&mut self, task: &mut task::Context<'_>) -> Poll<W::Out> {
        if let Some(out) = self.taken.pop_front() {
            return Poll::Ready(out);
        }
        let mut state = self.shared.lock();
        if std::mem::take(&mut state.broken) {
            // What waited is lost. The owner itself runs, maybe on another runtime: what comes next may fare
            // better.
            let stranded: Vec<usize> = state.jobs.drain(..).map(|(index, _)| index).collect();
            state.done.extend(stranded.into_iter().map(|index| self.shared.work.lost(index, shut_down())));
        }
        std::mem::swap(&mut state.done, &mut self.taken);
        match self.taken.pop_front() {
            Some(out) => Poll::Ready(out),
            None => {
                state.wait(task);
                // Only if a worker was lost to a panic in a destructor.
                let short = state.alive == 0 && !state.jobs.is_empty();
                drop(state);
                if short {
                    self.submit(&mut VecDeque::new());
                }
                Poll::Pending
            }
        }
    }

    /// The next output; the caller knows that there is one.
    pub(crate) async fn next(&mut self) -> W::Out {
        poll_fn(|task| self.poll_next(task)).await
    }

    /// Stops everything as [`WorkerPool::halt`] does, and waits until nothing is left, or until the grace is over: work
    /// that does not give way to the scheduler cannot be dropped by anyone.
    pub(crate) async fn stop(&mut self) {
        self.halt();
        within(Instant::now() + GRACE, poll_fn(|task| self.poll_ended(task))).await;
    }

    /// Stops everything, and throws away what has not been taken.
    pub(crate) fn abort(&mut self) {
        self.halt();
        let done = std::mem::take(&mut self.shared.lock().done);
        // Outside of the lock: whatever is in there may run code of the user, or panic.
        drop((done, std::mem::take(&mut self.taken)));
    }

    /// No job starts any more, and running ones are dropped where they stand. The outputs of those that have ended
    /// are still there to be polled, and so are those of jobs that end before they can be dropped.
    pub(crate) fn halt(&mut self) {
        let abandoned = {
            let mut state = self.shared.lock();
            state.closed = true;
            let custody = state.release();
            (std::mem::take(&mut state.jobs), custody)
        };
        for worker in self.workers.drain(..) {
            worker.abort();
        }
        // Dropped last, and outside of the lock: whatever is in there may run code of the user, or panic.
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

impl<W: PoolTask> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        lock(&self.state)
    }
}

impl<W: PoolTask> State<W> {
    /// Sends an idle worker searching, if jobs wait and fewer than `wanted` look for them.
    #[must_use = "the waker is to be woken once the lock is free"]
    fn wake_one(&mut self, wanted: usize) -> Option<Waker> {
        if self.jobs.is_empty() || self.searching >= wanted {
            return None;
        }
        while let Some(number) = self.idle.pop() {
            // A worker that died idle is still on the list.
            if let Worker::Idle(_) = self.workers[number]
                && let Worker::Idle(waker) = std::mem::replace(&mut self.workers[number], Worker::Searching)
            {
                self.searching += 1;
                return Some(waker);
            }
        }
        None
    }

    /// The permits, if nothing can need them any more.
    fn release(&mut self) -> Option<WorkGuard> {
        if self.closed && self.running == 0 { self.custody.take() } else { None }
    }

    fn wait(&mut self, task: &task::Context<'_>) {
        match &self.owner {
            Some(owner) if owner.will_wake(task.waker()) => {}
            _ => self.owner = Some(task.waker().clone()),
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn shut_down() -> Error {
    Error::new(ErrorKind::Cancelled, "the runtime shut down")
}

fn destructor_panicked() -> Error {
    Error::new(ErrorKind::Panicked, "panicked in a destructor")
}

/// A worker: takes jobs until it is aborted.
async fn worker<W: PoolTask>(mut me: WorkerGuard<W>) {
    let mut finished = None;
    let mut pace = YieldBudget::default();
    loop {
        let (index, job) = me.next_job(&mut finished, &mut pace).await;
        let mut run = pin!(me.shared.work.run(index, job));
        let out = poll_fn(|task| {
            let poll = catch_panic(|| run.as_mut().poll(task));
            if let Ok(Poll::Pending) = poll {
                pace.give_way();
            }
            match poll {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        })
        .await;
        pace.end();
        finished = Some(out.unwrap_or_else(|panic| me.shared.work.lost(index, panic)));
    }
}

/// A worker's place in the crew. Dropping it, however that comes about, leaves the books straight.
struct WorkerGuard<W: PoolTask> {
    shared: Arc<Shared<W>>,
    number: usize,
    /// The job in hand.
    job: Option<usize>,
}

impl<W: PoolTask> WorkerGuard<W> {
    /// Delivers what is finished and waits for the next job.
    async fn next_job(&mut self, finished: &mut Option<W::Out>, pace: &mut YieldBudget) -> (usize, W::Job) {
        poll_fn(|task| {
            let mut guard = self.shared.lock();
            let state = &mut *guard;
            match &mut state.workers[self.number] {
                // Nobody called: a timer of an earlier job, or the like.
                Worker::Idle(waker) => {
                    waker.clone_from(task.waker());
                    return Poll::Pending;
                }
                Worker::Searching => state.searching -= 1,
                Worker::Working | Worker::Gone => {}
            }
            let delivers = finished.is_some();
            let mut owner = None;
            if let Some(out) = finished.take() {
                self.job = None;
                state.running -= 1;
                state.done.push_back(out);
                owner = state.owner.take();
            }
            state.trust.learn(pace);
            let trusted = state.trust.is_earned();
            let others_first = if trusted { pace.is_over() } else { delivers };

            let mut next = None;
            let (doing, poll) = if state.jobs.is_empty() {
                state.idle.push(self.number);
                (Worker::Idle(task.waker().clone()), Poll::Pending)
            } else if others_first {
                (Worker::Searching, Poll::Pending)
            } else {
                if state.jobs.len() > 1 {
                    next = state.wake_one(1);
                }
                if next.is_some() {
                    // Whoever is woken from here sits behind this worker, and must not have to wait for the
                    // end of a job that may be long.
                    (Worker::Searching, Poll::Pending)
                } else {
                    (Worker::Working, state.jobs.pop_front().map_or(Poll::Pending, Poll::Ready))
                }
            };
            let again = matches!(doing, Worker::Searching);
            state.searching += usize::from(again);
            state.workers[self.number] = doing;
            match &poll {
                Poll::Pending => pace.give_way(),
                Poll::Ready((index, _)) => {
                    self.job = Some(*index);
                    state.running += 1;
                    pace.begin(trusted);
                }
            }
            drop(guard);
            wake(owner);
            wake(next);
            if again {
                task.waker().wake_by_ref();
            }
            poll
        })
        .await
    }
}

impl<W: PoolTask> Drop for WorkerGuard<W> {
    fn drop(&mut self) {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        state.alive -= 1;
        match std::mem::replace(&mut state.workers[self.number], Worker::Gone) {
            Worker::Searching => {
                state.searching -= 1;
                state.broken |= !state.closed;
            }
            Worker::Idle(_) | Worker::Working | Worker::Gone => {}
        }
        if let Some(index) = self.job.take() {
            state.running -= 1;
            if !state.closed {
                let error = if std::thread::panicking() { destructor_panicked() } else { shut_down() };
                state.done.push_back(self.shared.work.lost(index, error));
            }
        }
        let wakers = [state.owner.take(), state.wake_one(1)];
        let custody = state.release();
        drop(guard);
        drop(custody);
        wakers.into_iter().for_each(wake);
    }
}
