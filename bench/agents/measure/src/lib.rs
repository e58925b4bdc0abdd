//! The orders to all contenders, and their reports.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

/// The duration of one call of the tool.
pub const TOOL_TIME: Duration = Duration::from_millis(100);

/// The number of calls that the model makes in the turn with tools.
pub const TOOL_CALLS: usize = 8;

/// The system prompt of every agent.
pub const SYSTEM: &str = "You tell long stories.";
/// The prompt for every agent.
pub const PROMPT: &str = "Tell me a story.";
/// The model that every agent requests.
pub const MODEL: &str = "storyteller";

/// The order to a contender: `CONTENDER URL TASK AGENTS [VARIANT]`.
pub struct Order {
    /// The URL of the server, up to `/v1`.
    pub url: String,
    /// `stream` or `tools`.
    pub task: String,
    /// The number of concurrent agents for `stream`; the number of runs, one after another, for `tools`.
    pub agents: usize,
    /// The variant of the contender, if it has several.
    pub variant: String,
}

impl Order {
    /// Reads the order from the command line.
    pub fn read() -> Self {
        let mut arguments = std::env::args().skip(1);
        let mut next = || arguments.next().expect("usage: CONTENDER URL TASK AGENTS [VARIANT]");
        let (url, task, agents) = (next(), next(), next().parse().expect("AGENTS is a number"));
        Order { url, task, agents, variant: arguments.next().unwrap_or_default() }
    }
}

/// The counters of the agents of one process.
#[derive(Clone)]
pub struct Score(Arc<Counts>);

struct Counts {
    started: Instant,
    memory_before: u64,
    tokens: AtomicU64,
    bytes: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
    last_to_begin: AtomicU64,
}

impl Score {
    /// Starts the clock. Work before this counts as start-up.
    pub fn start() -> Self {
        Score(Arc::new(Counts {
            started: Instant::now(),
            memory_before: resident(),
            tokens: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_to_begin: AtomicU64::new(0),
        }))
    }

    /// Counts a piece of text of an agent, its first one or a later one.
    pub fn received(&self, text: &str, is_first: bool) {
        if is_first {
            self.0.last_to_begin.fetch_max(self.0.started.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
        self.0.tokens.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
    }

    /// Counts an agent that has finished.
    pub fn finished(&self) {
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an agent that has failed. The first error goes to standard error.
    pub fn failed(&self, error: impl Display) {
        if self.0.failed.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!("the first failure: {error}");
        }
    }

    /// Prints the counters to standard output.
    pub fn report(&self) {
        let counts = &*self.0;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        println!(
            "{}",
            json!({
                "wall_ms": counts.started.elapsed().as_millis() as u64,
                "memory_before": counts.memory_before,
                "tokens": of(&counts.tokens),
                "bytes": of(&counts.bytes),
                "finished": of(&counts.finished),
                "failed": of(&counts.failed),
                "last_to_begin_ms": of(&counts.last_to_begin),
            })
        );
    }
}

/// Prints the duration of each run with tools, in microseconds.
pub fn report_times(times: &[Duration]) {
    let micros: Vec<_> = times.iter().map(|time| time.as_micros() as u64).collect();
    println!("{}", json!({ "times_us": micros, "finished": times.len() }));
}

/// Returns the memory of this process in bytes, or 0 without `/proc`.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}
