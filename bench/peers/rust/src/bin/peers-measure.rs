//! Runs one program, and prints its output with the CPU time and the peak memory of its process.
//!
//! `peers-measure TASK PEER COMMAND...` takes the figures from the kernel when it reaps the process, including start-up
//! and exit. This process is smaller than those it measures: a child begins with the memory of its parent, so that a
//! larger parent would set the peak.

use std::io::{self, Read};
use std::process::{Command, ExitCode, Stdio};

use peers::millis;
use serde_json::{Value, json};
use wait4::Wait4;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(task), Some(peer), Some(program)) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: peers-measure TASK PEER COMMAND...");
        return ExitCode::from(2);
    };
    let mut line = json!({ "task": task, "peer": peer });
    match measure(Command::new(program).args(arguments)) {
        Ok((cpu_ms, peak_mb, output)) => {
            line["cpu_ms"] = cpu_ms.into();
            line["peak_mb"] = peak_mb.into();
            line["output"] = output;
        }
        Err(failed) => line["failed"] = failed.to_string().into(),
    }
    println!("{line}");
    ExitCode::SUCCESS
}

fn measure(command: &mut Command) -> io::Result<(f64, f64, Value)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut output)?;
    }
    let end = child.wait4()?;
    if !end.status.success() {
        return Err(io::Error::other(end.status.to_string()));
    }
    let used = end.rusage;
    Ok((millis(used.utime + used.stime), used.maxrss as f64 / 1e6, serde_json::from_str(&output)?))
}
