//! A simulated server that hides how many calls it can take.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use llmspell::{Context, Error, Result};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::capacity::Capacity;

/// The behaviour of a server with more calls than its capacity.
#[derive(Clone, Copy, PartialEq)]
pub enum Overload {
    /// It answers 429 at once.
    Refuses,
    /// It queues them, and answers 503 to calls that have waited for five seconds.
    Queues,
    /// It works on all of them, each more slowly. It does not notice that a client has gone, and works on.
    Slows,
}

/// The time that a rejection takes to reach the client.
const REFUSAL: Duration = Duration::from_millis(50);
/// How long a call stays in the queue.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);
/// How often a call in a server that slows down checks its progress.
const TICK: Duration = Duration::from_millis(100);

/// The median and the spread of the seconds until the first output, and after it, of a call that is alone on the
/// server. One call in a hundred takes more than three seconds.
const FIRST: (f64, f64) = (0.3, 0.3);
const REST: (f64, f64) = (0.6, 0.7);

pub struct Server {
    overload: Overload,
    capacity: Capacity,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    active: usize,
    queue: VecDeque<oneshot::Sender<()>>,
    /// The seconds of work that were done for a call which was there from the start.
    done: f64,
    at: Instant,
    /// Calls whose clients have gone, by the value of `done` at which they end.
    abandoned: Vec<f64>,
}

impl Server {
    pub fn new(overload: Overload, capacity: Capacity, seed: u64) -> Self {
        let (started, rng) = (Instant::now(), Rng::with_seed(seed));
        let queue = VecDeque::new();
        let state = State { rng, active: 0, queue, done: 0.0, at: started, abandoned: Vec::new() };
        Server { overload, capacity, started, state: Mutex::new(state) }
    }

    /// Serves one call: its first output, then the rest.
    pub async fn serve(&self, cx: &Context) -> Result<()> {
        let (first, rest) = {
            let rng = &mut self.lock().rng;
            (log_normal(rng, FIRST), log_normal(rng, REST))
        };
        if self.overload == Overload::Slows {
            let call = SharedCall::enter(self, first + rest);
            call.until(first).await;
            cx.emit("first").await?;
            call.until(first + rest).await;
        } else {
            let _slot = self.slot().await?;
            sleep(Duration::from_secs_f64(first)).await;
            cx.emit("first").await?;
            sleep(Duration::from_secs_f64(rest)).await;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn capacity(&self) -> usize {
        self.capacity.at(self.started.elapsed())
    }

    async fn slot(&self) -> Result<Slot<'_>> {
        match self.arrive() {
            Arrival::Admitted => Ok(Slot(self)),
            Arrival::Rejected => {
                sleep(REFUSAL).await;
                Err(Error::overloaded("429 Too Many Requests"))
            }
            Arrival::Queued(slot) => match timeout(MAX_QUEUE_TIME, slot).await {
                Ok(_) => Ok(Slot(self)),
                Err(_) => Err(Error::overloaded("503 Service Unavailable")),
            },
        }
    }

    fn arrive(&self) -> Arrival {
        let mut state = self.lock();
        if state.active < self.capacity() {
            state.active += 1;
            return Arrival::Admitted;
        }
        if self.overload == Overload::Refuses {
            return Arrival::Rejected;
        }
        let (sender, slot) = oneshot::channel();
        state.queue.push_back(sender);
        Arrival::Queued(slot)
    }

    /// Works on all calls until now, and returns the current speed, where 1 is full speed.
    fn advance(&self, state: &mut State) -> f64 {
        let speed = |state: &State| (self.capacity() as f64 / state.active.max(1) as f64).min(1.0);
        let now = Instant::now();
        state.done += (now - state.at).as_secs_f64() * speed(state);
        state.at = now;
        let (done, before) = (state.done, state.abandoned.len());
        state.abandoned.retain(|end| *end > done);
        state.active -= before - state.abandoned.len();
        speed(state)
    }
}

/// The reaction of the server to a new call.
enum Arrival {
    Admitted,
    Rejected,
    Queued(oneshot::Receiver<()>),
}

/// The slot of a call in a server that rejects or queues.
struct Slot<'a>(&'a Server);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.active -= 1;
        while state.active < self.0.capacity()
            && let Some(next) = state.queue.pop_front()
        {
            // A call that has left the queue needs no slot.
            state.active += usize::from(next.send(()).is_ok());
        }
    }
}

/// A call in a server that slows down.
struct SharedCall<'a> {
    server: &'a Server,
    started: f64,
    end: f64,
}

impl<'a> SharedCall<'a> {
    fn enter(server: &'a Server, work: f64) -> Self {
        let mut state = server.lock();
        server.advance(&mut state);
        state.active += 1;
        SharedCall { server, started: state.done, end: state.done + work }
    }

    /// Waits until `work` seconds of work have been done for this call.
    async fn until(&self, work: f64) {
        loop {
            let (left, speed) = {
                let mut state = self.server.lock();
                let speed = self.server.advance(&mut state);
                (self.started + work - state.done, speed)
            };
            if left <= 1e-6 {
                return;
            }
            sleep(Duration::from_secs_f64(left / speed).min(TICK)).await;
        }
    }
}

impl Drop for SharedCall<'_> {
    fn drop(&mut self) {
        let mut state = self.server.lock();
        state.abandoned.push(self.end);
        self.server.advance(&mut state);
    }
}

fn log_normal(rng: &mut Rng, (median, sigma): (f64, f64)) -> f64 {
    let (a, b) = (1.0 - rng.f64(), rng.f64());
    median * ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos() * sigma).exp()
}

/// Returns the mean seconds of a call that is alone on the server.
pub fn mean_time() -> f64 {
    [FIRST, REST].into_iter().map(|(median, sigma)| median * (sigma * sigma / 2.0).exp()).sum()
}
