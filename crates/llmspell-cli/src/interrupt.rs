//! The signals that ask the program to stop.

use std::io;

use tokio::runtime::Runtime;

use crate::exit::{CommandError, Exit};

/// A request to stop, from a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopRequest {
    /// Ctrl-C or SIGTERM: the first one lets records in flight finish.
    Graceful,
    /// A closed terminal or Ctrl-\: stop now, with this exit code.
    Immediate(Exit),
}

impl StopRequest {
    /// Returns the exit code of a program that has nothing in flight to finish.
    pub(crate) fn exit(self) -> Exit {
        match self {
            StopRequest::Graceful => Exit::Interrupted,
            StopRequest::Immediate(exit) => exit,
        }
    }
}

/// A listener for the signals that ask the program to stop.
pub(crate) struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    quit: Option<tokio::signal::unix::Signal>,
    /// Never awaited. While a listener exists, a write beyond `ulimit -f` returns an error; without one, SIGXFSZ ends
    /// the process silently.
    #[cfg(unix)]
    _file_too_large: Option<tokio::signal::unix::Signal>,
}

/// SIGXFSZ, which has this number on Linux, macOS and the BSDs.
#[cfg(unix)]
const FILE_TOO_LARGE: i32 = 25;

impl Interrupts {
    /// Starts to listen on this runtime.
    pub(crate) fn listen(runtime: &Runtime) -> Result<Self, CommandError> {
        let _entered = runtime.enter();
        Self::register().map_err(|error| CommandError::bug(&format!("cannot listen for signals: {error}")))
    }

    /// Takes the signals over. From here on they no longer end the process by themselves, which would leave the
    /// programs that a flow has started running.
    #[cfg(unix)]
    fn register() -> io::Result<Self> {
        use tokio::signal::unix::{Signal, SignalKind, signal};
        // A program started with `nohup` must outlive its terminal.
        let unless_ignored = |kind: SignalKind| -> io::Result<Option<Signal>> {
            if is_ignored(kind.as_raw_value()) { Ok(None) } else { signal(kind).map(Some) }
        };
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: unless_ignored(SignalKind::hangup())?,
            quit: unless_ignored(SignalKind::quit())?,
            _file_too_large: unless_ignored(SignalKind::from_raw(FILE_TOO_LARGE))?,
        })
    }

    /// Waits for the next request to stop.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> StopRequest {
        tokio::select! {
            _ = self.interrupt.recv() => StopRequest::Graceful,
            _ = self.terminate.recv() => StopRequest::Graceful,
            () = received(&mut self.hangup) => StopRequest::Immediate(Exit::HungUp),
            () = received(&mut self.quit) => StopRequest::Immediate(Exit::Quit),
        }
    }

    #[cfg(not(unix))]
    fn register() -> io::Result<Self> {
        Ok(Interrupts {})
    }

    /// Waits for the next request to stop.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> StopRequest {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        StopRequest::Graceful
    }
}

/// Waits for the signal; forever if the program does not listen for it.
#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Returns whether the program was started with this signal ignored. Only Linux shows it without `unsafe`; other
/// systems return `false`.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}
