//! The signals that ask the program to end.

use std::io;

use tokio::runtime::Runtime;

use crate::commands::run::bug;
use crate::exit::{Exit, Failure};

/// Who asks the program to end, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Ctrl-C, or the polite signal to end: the first time, what is in flight may be finished.
    Politely,
    /// At once, with this exit code: the terminal was closed, or Ctrl-\ was pressed.
    AtOnce(Exit),
}

impl Asked {
    /// How a program ends that has nothing in flight which could be finished.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Asked::Politely => Exit::Interrupted,
            Asked::AtOnce(exit) => exit,
        }
    }
}

/// Completes each time somebody asks the program to end.
pub(crate) struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    quit: Option<tokio::signal::unix::Signal>,
    /// Nobody waits for it: as long as it is listened to, a write beyond `ulimit -f` fails instead of ending the
    /// process without a word.
    #[cfg(unix)]
    _too_large: Option<tokio::signal::unix::Signal>,
}

/// SIGXFSZ, by the same number on Linux, macOS and the BSDs.
#[cfg(unix)]
const FILE_TOO_LARGE: i32 = 25;

impl Interrupts {
    /// Listens on this runtime.
    pub(crate) fn on(runtime: &Runtime) -> Result<Self, Failure> {
        let _entered = runtime.enter();
        Self::listen().map_err(|error| bug(format!("cannot listen to signals: {error}")))
    }

    /// From here on, these signals no longer end the process by themselves: the programs that a flow has started would
    /// be left behind.
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{Signal, SignalKind, signal};
        // Who starts a program with `nohup` wants it to outlive the terminal.
        let unless_ignored = |kind: SignalKind| -> io::Result<Option<Signal>> {
            if is_ignored(kind.as_raw_value()) { Ok(None) } else { signal(kind).map(Some) }
        };
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: unless_ignored(SignalKind::hangup())?,
            quit: unless_ignored(SignalKind::quit())?,
            _too_large: unless_ignored(SignalKind::from_raw(FILE_TOO_LARGE))?,
        })
    }

    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Politely,
            _ = self.terminate.recv() => Asked::Politely,
            () = received(&mut self.hangup) => Asked::AtOnce(Exit::HungUp),
            () = received(&mut self.quit) => Asked::AtOnce(Exit::Quit),
        }
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Self> {
        Ok(Interrupts {})
    }

    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> Asked {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Asked::Politely
    }
}

#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether the program was started with this signal ignored. Only Linux tells without `unsafe`; elsewhere the answer
/// is no.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}
