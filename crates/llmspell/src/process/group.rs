//! Process groups: a program and all its descendants.

use std::io;
#[cfg(unix)]
use std::time::Duration;

use tokio::process::Child;

/// The process group of a child process: the child and all its descendants.
///
/// [`Context::command`](crate::Context::command) uses a group for programs that run to their end. Use this type for a
/// program that keeps running, such as a server that communicates over its pipes.
///
/// A group is identified by the PID of its leader. The system can reuse that PID once the leader is reaped and no member
/// is left. So the methods that send a signal take the child, and do nothing once it is reaped. Death alone does not
/// reap a child. The signal therefore reaches this group or no process.
///
/// A descendant that leaves the group (`setsid`) is out of reach, as it is for a shell. On systems without process
/// groups, only the program itself is killed, by `kill_on_drop`.
#[derive(Clone, Copy, Debug)]
pub struct ProcessGroup {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

/// The interval at which a program is polled if no signal reports its end.
#[cfg(unix)]
const POLL_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(unix)]
impl ProcessGroup {
    /// Makes the program the leader of a group of its own.
    pub fn lead(process: &mut std::process::Command) {
        std::os::unix::process::CommandExt::process_group(process, 0);
    }

    /// Returns the group of a child that [leads](ProcessGroup::lead) one, and has not been waited for.
    pub fn of(child: &Child) -> Self {
        ProcessGroup { leader: pid(child) }
    }

    /// Waits until the leader has ended, without reaping it: until it is reaped, the group can be signalled.
    ///
    /// # Errors
    /// If the runtime cannot listen for signals.
    #[cfg(not(any(target_os = "cygwin", target_os = "openbsd", target_os = "redox")))]
    pub async fn ended(self, child: &mut Child) -> io::Result<()> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        use tokio::signal::unix::{SignalKind, signal};
        use tokio::time::Instant;

        use crate::runtime::timing::{after, within};

        let Some(leader) = self.unreaped(child) else { return child.wait().await.map(drop) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        // Before the first `waitid`, so that no exit is missed.
        let mut exits = signal(SignalKind::child())?;
        // An error means that other code has reaped the leader.
        while matches!(waitid(WaitId::Pid(leader), options), Ok(None)) {
            // Other code in this process may have consumed the signal, so this also polls.
            within(after(Instant::now(), POLL_INTERVAL), exits.recv()).await;
        }
        Ok(())
    }

    /// Waits until the leader has ended, and reaps it: this system cannot observe the end otherwise.
    #[cfg(any(target_os = "cygwin", target_os = "openbsd", target_os = "redox"))]
    pub async fn ended(self, child: &mut Child) -> io::Result<()> {
        child.wait().await.map(drop)
    }

    /// Kills every member. Nothing happens if the leader, which is `child`, has been waited for.
    pub fn kill(self, child: &Child) {
        self.signal(child, rustix::process::Signal::KILL);
    }

    /// Sends SIGTERM to every member. Nothing happens if the leader, which is `child`, has been waited for.
    pub fn terminate(self, child: &Child) {
        self.signal(child, rustix::process::Signal::TERM);
    }

    fn signal(self, child: &Child, signal: rustix::process::Signal) {
        if let Some(leader) = self.unreaped(child) {
            // The only possible failure is that no member is left.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
    }

    /// Returns the PID of the leader, unless it has been reaped.
    fn unreaped(self, child: &Child) -> Option<rustix::process::Pid> {
        self.leader.filter(|leader| pid(child) == Some(*leader))
    }
}

/// Returns the PID of the child, or `None` once it is reaped.
#[cfg(unix)]
fn pid(child: &Child) -> Option<rustix::process::Pid> {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    id.and_then(rustix::process::Pid::from_raw)
}

#[cfg(not(unix))]
impl ProcessGroup {
    /// Does nothing: this system has no process groups.
    pub fn lead(_: &mut std::process::Command) {}

    /// Returns a group that stands for the child alone.
    pub fn of(_: &Child) -> Self {
        ProcessGroup {}
    }

    /// Waits until the child has ended.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub async fn ended(self, child: &mut Child) -> io::Result<()> {
        child.wait().await.map(drop)
    }

    /// Does nothing: this system has no process groups.
    pub fn kill(self, _: &Child) {}

    /// Does nothing: this system has no process groups.
    pub fn terminate(self, _: &Child) {}
}
