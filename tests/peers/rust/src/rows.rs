//! The results: a line for each check, for the table of `run.sh`.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use llmspell::{Error, Result};

/// Nothing takes longer, whatever the machine does besides; what does hangs.
const LONGEST: Duration = Duration::from_secs(1200);

/// Runs one check after another, and prints the result of each.
#[derive(Debug)]
pub struct Checks {
    peer: &'static str,
    failed: usize,
}

impl Checks {
    /// Rows about this peer.
    pub fn info(peer: &'static str) -> Self {
        Checks { peer, failed: 0 }
    }

    /// Tries it, and prints `peer, what, ok or FAILED, what was found` with tabs between.
    pub async fn check(&mut self, what: &str, trial: impl Future<Output = Result<String>>) {
        let begun = Instant::now();
        let result = match tokio::time::timeout(LONGEST, trial).await {
            Ok(result) => result,
            Err(_) => Err(Error::failed("it hangs")),
        };
        let (verdict, found) = match result {
            Ok(found) => ("ok", found),
            Err(error) => {
                self.failed += 1;
                ("FAILED", format!("{error:#}"))
            }
        };
        let found = found.replace(['\t', '\n'], " ");
        println!("{}\t{what}\t{verdict}\t{found}", self.peer);
        eprintln!("{verdict:>6} {what} ({:.1} s): {found}", begun.elapsed().as_secs_f64());
    }

    /// Returns the exit code of the program.
    pub fn exit(self) -> ExitCode {
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Fails with `complaint` unless it holds.
///
/// # Errors
/// The complaint.
pub fn ensure(holds: bool, complaint: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::failed(complaint())) }
}
