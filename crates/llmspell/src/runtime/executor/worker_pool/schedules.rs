//! The pool under many interleavings of its owner and its workers. A lost wake-up or a lost job shows as a deadlock,
//! which the scheduler reports with the schedule that leads to it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use shuttle::future::{block_on, yield_now};

use super::{PoolTask, WorkerPool};
use crate::error::Error;
use crate::runtime::semaphore::Semaphore;
use crate::runtime::sync::atomic::{AtomicUsize, Ordering};

const SCHEDULES: usize = 3000;

fn explore(test: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(test, SCHEDULES);
    shuttle::check_pct(test, SCHEDULES, 3);
}

/// How a job behaves before it returns its index.
#[derive(Clone, Copy)]
enum TestJob {
    Ready,
    Waits(usize),
    /// Ends only while this many of its kind are running.
    Needs(usize),
}

struct Jobs {
    alive: Arc<AtomicUsize>,
    met: Semaphore<()>,
    meeting: AtomicUsize,
}

/// Counts as alive until it is dropped.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl PoolTask for Jobs {
    type Input = TestJob;
    type Out = usize;
    type CallerGuard = ();
    type WorkGuard = ();

    async fn run(&self, index: usize, job: TestJob) -> usize {
        self.alive.fetch_add(1, Ordering::SeqCst);
        let _alive = Alive(self.alive.clone());
        match job {
            TestJob::Ready => {}
            TestJob::Waits(times) => {
                for _ in 0..times {
                    yield_now().await;
                }
            }
            TestJob::Needs(others) => {
                if self.meeting.fetch_add(1, Ordering::SeqCst) + 1 == others {
                    self.met.resize(others).wake();
                }
                drop(self.met.acquire().await);
            }
        }
        index
    }

    fn lost(&self, index: usize, error: Error) -> usize {
        panic!("job {index} was lost: {error}")
    }
}

fn pool() -> (WorkerPool<Jobs>, Arc<AtomicUsize>) {
    let alive = Arc::new(AtomicUsize::new(0));
    let jobs = Jobs { alive: alive.clone(), met: Semaphore::new(0), meeting: AtomicUsize::new(0) };
    (WorkerPool::new(((), ()), jobs), alive)
}

/// Runs `jobs`, at most `limit` at once, as a stream does; each must return its index once.
async fn run(pool: &mut WorkerPool<Jobs>, jobs: &[TestJob], limit: usize) {
    let mut jobs: VecDeque<(usize, TestJob)> = jobs.iter().copied().enumerate().collect();
    let (total, mut running, mut seen) = (jobs.len(), 0, Vec::new());
    while seen.len() < total {
        let mut admitted: VecDeque<_> = jobs.drain(..jobs.len().min(limit - running)).collect();
        running += admitted.len();
        if !admitted.is_empty() {
            pool.submit(&mut admitted);
        }
        seen.push(pool.next().await);
        running -= 1;
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..total).collect::<Vec<_>>());
}

async fn assert_pool_ends(pool: &mut WorkerPool<Jobs>, alive: &AtomicUsize) {
    pool.abort();
    poll_fn(|task| pool.poll_ended(task)).await;
    assert_eq!(alive.load(Ordering::SeqCst), 0, "a job outlives the last worker");
}

#[test]
fn every_job_gives_its_output_once() {
    explore(|| {
        block_on(async {
            let (mut pool, alive) = pool();
            let jobs =
                [TestJob::Ready, TestJob::Waits(1), TestJob::Ready, TestJob::Waits(2), TestJob::Ready, TestJob::Ready];
            run(&mut pool, &jobs, 3).await;
            assert_pool_ends(&mut pool, &alive).await;
        });
    });
}

#[test]
fn jobs_in_flight_all_run_at_the_same_time() {
    explore(|| {
        block_on(async {
            let (mut pool, alive) = pool();
            // Once jobs are known to be short, workers run several without a break, but not if one of them waits.
            run(&mut pool, &[TestJob::Ready, TestJob::Ready, TestJob::Ready, TestJob::Ready], 2).await;
            pool.submit(&mut VecDeque::from([(0, TestJob::Needs(3))]));
            yield_now().await;
            pool.submit(&mut VecDeque::from([(1, TestJob::Needs(3)), (2, TestJob::Needs(3))]));
            for _ in 0..3 {
                pool.next().await;
            }
            assert_pool_ends(&mut pool, &alive).await;
        });
    });
}

#[test]
fn a_stopped_pool_leaves_nothing() {
    explore(|| {
        block_on(async {
            let (mut pool, alive) = pool();
            let jobs = [TestJob::Ready, TestJob::Waits(3), TestJob::Needs(2), TestJob::Waits(1)];
            pool.submit(&mut jobs.into_iter().enumerate().collect());
            pool.next().await;
            assert_pool_ends(&mut pool, &alive).await;
        });
    });
}

/// The owner of a stream polls from time to time, and may be a new task each time.
#[test]
fn an_owner_that_polls_rarely_misses_nothing() {
    explore(|| {
        let (mut pool, alive) = pool();
        pool.submit(&mut [TestJob::Ready, TestJob::Waits(1), TestJob::Ready].into_iter().enumerate().collect());
        let mut seen = 0;
        let is_ready = block_on(poll_fn(|task| Poll::Ready(pool.poll_next(task).is_ready())));
        seen += usize::from(is_ready);
        while seen < 3 {
            block_on(pool.next());
            seen += 1;
        }
        block_on(assert_pool_ends(&mut pool, &alive));
    });
}
