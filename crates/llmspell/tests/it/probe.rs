//! A step that counts its calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::{Context, Error, Result, Step, step};
use tokio::time::Instant;

/// The numbers of started, completed and running calls, and the maximum of running calls.
#[derive(Clone, Default)]
pub struct Watch(Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    completed: AtomicUsize,
    alive: AtomicUsize,
    most: AtomicUsize,
}

impl Watch {
    pub fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    pub fn completed(&self) -> usize {
        self.0.completed.load(Ordering::SeqCst)
    }

    pub fn alive(&self) -> usize {
        self.0.alive.load(Ordering::SeqCst)
    }

    pub fn most_at_once(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }

    /// Counts a call as running while the returned value lives.
    pub fn enter(&self) -> Alive {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        let alive = self.0.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(alive, Ordering::SeqCst);
        Alive(self.clone())
    }
}

pub struct Alive(Watch);

impl Alive {
    pub fn complete(self) {
        self.0.0.completed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Takes `delay`, then returns its input or fails.
pub struct Probe {
    pub watch: Watch,
    pub delay: Duration,
    pub error: Option<Error>,
}

impl Probe {
    pub fn ok(delay_ms: u64) -> Self {
        Probe { watch: Watch::default(), delay: ms(delay_ms), error: None }
    }

    pub fn fails(delay_ms: u64, message: &'static str) -> Self {
        Probe { error: Some(Error::failed(message)), ..Probe::ok(delay_ms) }
    }

    pub fn watched(self, watch: &Watch) -> Self {
        Probe { watch: watch.clone(), ..self }
    }
}

impl Step for Probe {
    type In = usize;
    type Out = usize;

    async fn run(&self, input: usize, _: &Context) -> Result<usize> {
        let alive = self.watch.enter();
        tokio::time::sleep(self.delay).await;
        alive.complete();
        match &self.error {
            Some(error) => Err(error.clone()),
            None => Ok(input),
        }
    }
}

/// Returns a step that always fails with a copy of `error`, and the times of its calls.
pub fn failing(error: Error) -> (impl Step<In = u32, Out = u32>, Arc<Mutex<Vec<Instant>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = calls.clone();
    let step = step(move |_: u32, _| {
        log.lock().unwrap().push(Instant::now());
        let error = error.clone();
        async move { Err(error) }
    });
    (step, calls)
}

/// Returns a transient error.
pub fn busy() -> Error {
    Error::failed("busy").transient()
}

/// Returns the times between calls.
pub fn waits(calls: &Mutex<Vec<Instant>>) -> Vec<Duration> {
    calls.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Returns the number of running tasks of the runtime, after 50 ms for those that are ending.
pub async fn settled_tasks() -> usize {
    tokio::time::sleep(ms(50)).await;
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
