//! A report of trials, one line each, from which `run.sh` makes a table.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use llmspell::{Error, Result};

/// The time limit of a trial: a longer one hangs, however busy the machine is.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(1200);

/// Runs trials one after another, and prints their results.
#[derive(Debug)]
pub struct TrialReport {
    peer: &'static str,
    failed: usize,
}

impl TrialReport {
    /// Returns an empty report about a peer.
    pub fn new(peer: &'static str) -> Self {
        TrialReport { peer, failed: 0 }
    }

    /// Runs a trial, and prints the peer, its name, `ok` or `FAILED`, and the result, separated by tabs.
    pub async fn check(&mut self, name: &str, trial: impl Future<Output = Result<String>>) {
        let started = Instant::now();
        let result = match tokio::time::timeout(TRIAL_TIMEOUT, trial).await {
            Ok(result) => result,
            Err(_) => Err(Error::failed("no result within the time limit")),
        };
        let (status, text) = match result {
            Ok(text) => ("ok", text),
            Err(error) => {
                self.failed += 1;
                ("FAILED", format!("{error:#}"))
            }
        };
        let text = text.replace(['\t', '\n'], " ");
        println!("{}\t{name}\t{status}\t{text}", self.peer);
        eprintln!("{status:>6} {name} ({:.1} s): {text}", started.elapsed().as_secs_f64());
    }

    /// Returns the exit code of the program.
    pub fn exit(self) -> ExitCode {
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Checks a condition.
///
/// # Errors
/// The message, if the condition does not hold.
pub fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::failed(message())) }
}
