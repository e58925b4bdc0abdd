//! CPU time of two ways to do the same work, side by side.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

/// The number of samples of each side; the table shows their medians.
const SAMPLES: usize = 15;

/// The scheduler of the work.
#[derive(Clone, Copy, PartialEq)]
pub enum Flavour {
    /// One thread; its own CPU clock.
    CurrentThread,
    /// Two workers; the CPU clock of the process, idle workers included.
    MultiThread,
}

impl Flavour {
    pub const BOTH: [Flavour; 2] = [Flavour::CurrentThread, Flavour::MultiThread];

    pub fn runtime(self) -> Runtime {
        let mut builder = match self {
            Flavour::CurrentThread => Builder::new_current_thread(),
            Flavour::MultiThread => Builder::new_multi_thread(),
        };
        builder.worker_threads(2).enable_all().build().expect("a runtime")
    }

    fn cpu_time(self) -> Duration {
        let clock = match self {
            Flavour::CurrentThread => ClockId::ThreadCPUTime,
            Flavour::MultiThread => ClockId::ProcessCPUTime,
        };
        let now = clock_gettime(clock);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).expect("less than a second"))
    }

    fn name(self) -> &'static str {
        match self {
            Flavour::CurrentThread => "one thread",
            Flavour::MultiThread => "two workers",
        }
    }

    /// Returns the CPU time of one operation in nanoseconds.
    fn sample(self, runtime: &Runtime, operations: u32, work: &impl AsyncFn(u32)) -> f64 {
        let before = self.cpu_time();
        runtime.block_on(work(operations));
        (self.cpu_time() - before).as_secs_f64() * 1e9 / f64::from(operations)
    }

    /// Returns the CPU time of one operation in nanoseconds, the median of several samples.
    pub fn cost(self, operations: u32, work: impl AsyncFn(u32)) -> f64 {
        let runtime = self.runtime();
        self.sample(&runtime, operations, &work);
        median((0..SAMPLES).map(|_| self.sample(&runtime, operations, &work)).collect())
    }

    /// Returns the same for two ways, interleaved, so that a change of the machine's load affects both.
    pub fn costs(
        self,
        operations: u32,
        samples: usize,
        ours: impl AsyncFn(u32),
        theirs: impl AsyncFn(u32),
    ) -> (f64, f64) {
        let runtime = self.runtime();
        let ours = || self.sample(&runtime, operations, &ours);
        let theirs = || self.sample(&runtime, operations, &theirs);
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=samples {
            let times = if round % 2 == 0 {
                (ours(), theirs())
            } else {
                let theirs = theirs();
                (ours(), theirs)
            };
            if round > 0 {
                our_times.push(times.0);
                their_times.push(times.1);
            }
        }
        (median(our_times), median(their_times))
    }
}

/// One row of the table.
pub struct Row {
    pub what: &'static str,
    pub flavour: Flavour,
    /// The number of operations in a sample.
    pub operations: u32,
    /// The target ratio, if there is one.
    pub target: Option<f64>,
}

impl Row {
    /// Measures both sides and prints the row.
    pub fn compare(&self, ours: impl AsyncFn(u32), theirs: impl AsyncFn(u32)) {
        let (ours, theirs) = self.flavour.costs(self.operations, SAMPLES, ours, theirs);
        let target = self.target.map_or(String::new(), |target| format!("≤ {target:.2}"));
        println!(
            "| {} | {} | {ours:.0} | {theirs:.0} | {:.2} | {target} |",
            self.what,
            self.flavour.name(),
            ours / theirs
        );
    }
}

/// Prints the head of a table of rows.
pub fn head(group: &str, theirs: &str) {
    println!("\n### {group}\n\nAgainst {theirs}.\n");
    println!("| work | runtime | llmspell, ns | by hand, ns | ratio | target |");
    println!("|---|---|---|---|---|---|");
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
