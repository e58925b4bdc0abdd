//! A simulated server that hides how many calls it can take.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use llmspell::{Context, Error, Result};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::capacity::Capacity;

/// What it does with more calls than it can take.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    /// It answers 429 at once.
    Refuses,
    /// It keeps them in line, and answers 503 to those that have waited for five seconds.
    Queues,
    /// It works on all of them, each more slowly. It does not notice that a client has given up, and works on.
    Slows,
}

/// The way of a refusal to the client.
const REFUSAL: Duration = Duration::from_millis(50);
/// How long a call stays in line.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a call in a server that slows down looks at what has been done for it.
const TICK: Duration = Duration::from_millis(100);

/// The median seconds until the first output, and after it, of a call that has the server to itself; and how far
/// they spread. One call in a hundred takes more than three seconds.
const FIRST: (f64, f64) = (0.3, 0.3);
const REST: (f64, f64) = (0.6, 0.7);

pub struct Server {
    manner: Manner,
    capacity: Capacity,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    active: usize,
    line: VecDeque<oneshot::Sender<()>>,
    /// The seconds of work that have been done for a call that was there from the beginning.
    done: f64,
    at: Instant,
    /// Calls that nobody waits for, by when they will be over in the measure of `done`.
    abandoned: Vec<f64>,
}

impl Server {
    pub fn new(manner: Manner, capacity: Capacity, seed: u64) -> Self {
        let (began, rng) = (Instant::now(), Rng::with_seed(seed));
        let line = VecDeque::new();
        let state = State { rng, active: 0, line, done: 0.0, at: began, abandoned: Vec::new() };
        Server { manner, capacity, began, state: Mutex::new(state) }
    }

    /// Serves one call: its first output, then the rest.
    pub async fn serve(&self, cx: &Context) -> Result<()> {
        let (first, rest) = {
            let rng = &mut self.lock().rng;
            (log_normal(rng, FIRST), log_normal(rng, REST))
        };
        if self.manner == Manner::Slows {
            let call = Shared::enter(self, first + rest);
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
        self.capacity.at(self.began.elapsed())
    }

    async fn slot(&self) -> Result<Slot<'_>> {
        match self.knock() {
            Door::Open => Ok(Slot(self)),
            Door::Closed => {
                sleep(REFUSAL).await;
                Err(Error::overloaded("429 Too Many Requests"))
            }
            Door::Line(turn) => match timeout(PATIENCE, turn).await {
                Ok(_) => Ok(Slot(self)),
                Err(_) => Err(Error::overloaded("503 Service Unavailable")),
            },
        }
    }

    fn knock(&self) -> Door {
        let mut state = self.lock();
        if state.active < self.capacity() {
            state.active += 1;
            return Door::Open;
        }
        if self.manner == Manner::Refuses {
            return Door::Closed;
        }
        let (sender, turn) = oneshot::channel();
        state.line.push_back(sender);
        Door::Line(turn)
    }

    /// Works until now on everything there is; says how fast it goes on, where 1 is full speed.
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

/// What a call finds when it comes.
enum Door {
    Open,
    Closed,
    Line(oneshot::Receiver<()>),
}

/// The place of a call in a server that refuses or queues.
struct Slot<'a>(&'a Server);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.active -= 1;
        while state.active < self.0.capacity()
            && let Some(next) = state.line.pop_front()
        {
            // Who has left the line needs no place.
            state.active += usize::from(next.send(()).is_ok());
        }
    }
}

/// A call in a server that slows down.
struct Shared<'a> {
    server: &'a Server,
    began: f64,
    end: f64,
}

impl<'a> Shared<'a> {
    fn enter(server: &'a Server, work: f64) -> Self {
        let mut state = server.lock();
        server.advance(&mut state);
        state.active += 1;
        Shared { server, began: state.done, end: state.done + work }
    }

    /// Waits until so many seconds of work have been done for this call.
    async fn until(&self, work: f64) {
        loop {
            let (left, speed) = {
                let mut state = self.server.lock();
                let speed = self.server.advance(&mut state);
                (self.began + work - state.done, speed)
            };
            if left <= 1e-6 {
                return;
            }
            sleep(Duration::from_secs_f64(left / speed).min(TICK)).await;
        }
    }
}

impl Drop for Shared<'_> {
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

/// The mean seconds of a call that has the server to itself.
pub fn mean_time() -> f64 {
    [FIRST, REST].into_iter().map(|(median, sigma)| median * (sigma * sigma / 2.0).exp()).sum()
}
