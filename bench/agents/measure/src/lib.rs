//! What all contenders are told, and what they report.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

/// How long one call of the tool takes.
pub const TOOL_TIME: Duration = Duration::from_millis(100);

/// How many calls the model makes in the turn with tools.
pub const TOOL_CALLS: usize = 8;

/// What every agent is told to be, and asked.
pub const SYSTEM: &str = "You tell long stories.";
/// See [`SYSTEM`].
pub const PROMPT: &str = "Tell me a story.";
/// The model that all of them ask for.
pub const MODEL: &str = "storyteller";

/// What a contender is to do: `CONTENDER URL TASK AGENTS [WAY]`.
pub struct Order {
    /// Where the server is, up to `/v1`.
    pub url: String,
    /// `stream`, or `tools`.
    pub task: String,
    /// How many agents at once for `stream`; how many runs, one after another, for `tools`.
    pub agents: usize,
    /// Which of several ways a contender has.
    pub way: String,
}

impl Order {
    /// From the command line.
    pub fn read() -> Self {
        let mut arguments = std::env::args().skip(1);
        let mut next = || arguments.next().expect("usage: CONTENDER URL TASK AGENTS [WAY]");
        let (url, task, agents) = (next(), next(), next().parse().expect("AGENTS is a number"));
        Order { url, task, agents, way: arguments.next().unwrap_or_default() }
    }
}

/// Counts what the agents of one process do.
#[derive(Clone)]
pub struct Score(Arc<Counts>);

struct Counts {
    begun: Instant,
    memory_before: u64,
    tokens: AtomicU64,
    bytes: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
    last_to_begin: AtomicU64,
}

impl Score {
    /// Begins now: what was built before counts as start-up.
    pub fn begin() -> Self {
        Score(Arc::new(Counts {
            begun: Instant::now(),
            memory_before: resident(),
            tokens: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_to_begin: AtomicU64::new(0),
        }))
    }

    /// An agent has shown a piece of text, its first one or a later one.
    pub fn shown(&self, text: &str, is_first: bool) {
        if is_first {
            self.0.last_to_begin.fetch_max(self.0.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
        self.0.tokens.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
    }

    /// An agent has come to its end.
    pub fn finished(&self) {
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }

    /// An agent has failed; what the first one says goes to stderr.
    pub fn failed(&self, error: impl Display) {
        if self.0.failed.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!("the first agent that failed: {error}");
        }
    }

    /// Says so, on stdout.
    pub fn report(&self) {
        let counts = &*self.0;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        println!(
            "{}",
            json!({
                "wall_ms": counts.begun.elapsed().as_millis() as u64,
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

/// Reports how long each run with tools took, in microseconds.
pub fn report_times(times: &[Duration]) {
    let micros: Vec<_> = times.iter().map(|time| time.as_micros() as u64).collect();
    println!("{}", json!({ "times_us": micros, "finished": times.len() }));
}

/// The memory of this process, in bytes; 0 where there is no /proc.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}
