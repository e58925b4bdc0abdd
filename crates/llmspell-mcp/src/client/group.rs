//! A server's process and everything that it started.
//!
//! As in the core's `Context::command`, and not shared with it: the core runs programs to their end, and has nothing
//! public for one that goes on; fifty lines twice are less than that would be.

use std::io;
#[cfg(unix)]
use std::time::Duration;

use tokio::process::Child;

/// The process group of a server.
///
/// It is known by the number of its leader, which is given away once the leader is reaped and no member is left. So a
/// group is signalled only while its leader is not reaped, be it dead. A descendant that leaves the group (`setsid`) is
/// out of reach. Where there are no groups, only the server itself is ended.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

/// How often a server is looked for if no signal tells of its end.
#[cfg(unix)]
const LOOK: Duration = Duration::from_secs(1);

#[cfg(unix)]
impl Group {
    /// Makes the program the leader of a group of its own.
    pub(crate) fn lead(command: &mut std::process::Command) {
        std::os::unix::process::CommandExt::process_group(command, 0);
    }

    pub(crate) fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Group { leader: id.and_then(rustix::process::Pid::from_raw) }
    }

    /// Completes when the leader has ended, and leaves it to be reaped.
    #[cfg(not(any(target_os = "cygwin", target_os = "openbsd", target_os = "redox")))]
    pub(crate) async fn ended(self, child: &mut Child) -> io::Result<()> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        use tokio::signal::unix::{SignalKind, signal};

        let Some(leader) = self.leader else { return child.wait().await.map(drop) };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        // Before the first look, so that no end is missed.
        let mut ends = signal(SignalKind::child())?;
        // An error says that somebody else has reaped it.
        while matches!(waitid(WaitId::Pid(leader), look), Ok(None)) {
            // Other code in this process may have taken the signal for itself.
            let _ = tokio::time::timeout(LOOK, ends.recv()).await;
        }
        Ok(())
    }

    /// The same where an end cannot be seen without reaping.
    #[cfg(any(target_os = "cygwin", target_os = "openbsd", target_os = "redox"))]
    pub(crate) async fn ended(self, child: &mut Child) -> io::Result<()> {
        child.wait().await.map(drop)
    }

    pub(crate) fn kill(self) {
        self.signal(rustix::process::Signal::KILL);
    }

    pub(crate) fn ask_to_end(self) {
        self.signal(rustix::process::Signal::TERM);
    }

    fn signal(self, signal: rustix::process::Signal) {
        if let Some(leader) = self.leader {
            // The only failure is that nobody is left.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
    }
}

#[cfg(not(unix))]
impl Group {
    pub(crate) fn lead(_: &mut std::process::Command) {}

    pub(crate) fn of(_: &Child) -> Self {
        Group {}
    }

    pub(crate) async fn ended(self, child: &mut Child) -> io::Result<()> {
        child.wait().await.map(drop)
    }

    pub(crate) fn kill(self) {}

    pub(crate) fn ask_to_end(self) {}
}
