//! Adaptive limits against fixed ones, on servers that hide their capacity.
//!
//! `cargo bench -p llmspell --bench adaptive` prints the tables of `benches/README.md`, and fails if a claim there does
//! not hold; `-- queues share` prints only some of them. Time is virtual and random numbers have a seed, so the figures
//! are the same on every machine.

#![allow(unreachable_pub, reason = "a benchmark exports nothing")]

mod capacity;
mod client;
mod scenario;
mod server;
mod share;

use std::process::ExitCode;

use scenario::SCENARIOS;

/// The seeds of the runs; a table shows their sums.
const SEEDS: std::ops::Range<u64> = 1..4;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    let failed_claims: usize = std::thread::scope(|threads| {
        let mut tables = Vec::new();
        for scenario in SCENARIOS.iter().filter(|scenario| is_wanted(scenario.name)) {
            tables.push(threads.spawn(|| scenario.compare()));
        }
        if is_wanted("share") {
            tables.push(threads.spawn(share::compare));
        }
        let show = |(table, failed_claims)| {
            print!("{table}");
            failed_claims
        };
        tables.into_iter().map(|table| show(table.join().expect("no panic"))).sum()
    });
    if failed_claims == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("\n{failed_claims} claims do not hold");
    ExitCode::FAILURE
}

/// Runs `work` in virtual time, with this seed.
fn simulate(seed: u64, work: impl Future<Output = ()>) {
    // For the waits between attempts.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(work);
}
