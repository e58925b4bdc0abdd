//! A program and everything that it started.

use std::io;
#[cfg(unix)]
use std::time::Duration;

use tokio::process::Child;

/// The process group of a child process: the child and all that it has started.
///
/// [`Context::command`](crate::Context::command) ends programs in this way, and is what to use for those that run to
/// their end. This is for whoever keeps one running, such as a server that talks over its pipes.
///
/// It is known by the number of its leader, which is given away once the leader is reaped and no member is left. So it
/// takes the child to signal a group, and nothing happens once that is reaped, which it is not by its death alone: what
/// gets the signal is this group or nobody.
///
/// A descendant that leaves the group (`setsid`) is out of reach, as it is for a shell. Where there are no
/// groups, only the program itself is ended, by `kill_on_drop`.
#[derive(Clone, Copy, Debug)]
pub struct ProcessGroup {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

/// How often a program is looked for if no signal tells of its end.
#[cfg(unix)]
const LOOK: Duration = Duration::from_secs(1);

#[cfg(unix)]
impl ProcessGroup {
    /// Makes the program the leader of a group of its own.
    pub fn lead(process: &mut std::process::Command) {
        std::os::unix::process::CommandExt::process_group(process, 0);
    }

    /// That of a child that was made to [lead](ProcessGroup::lead) one, and has not been waited for.
    pub fn of(child: &Child) -> Self {
        ProcessGroup { leader: number(child) }
    }

    /// Completes when the leader has ended, and leaves it to be reaped: until then the group can be signalled.
    ///
    /// # Errors
    /// If the runtime cannot listen to signals.
    #[cfg(not(any(target_os = "cygwin", target_os = "openbsd", target_os = "redox")))]
    pub async fn ended(self, child: &mut Child) -> io::Result<()> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        use tokio::signal::unix::{SignalKind, signal};
        use tokio::time::Instant;

        use crate::runtime::executor::{after, within};

        let Some(leader) = self.unreaped(child) else { return child.wait().await.map(drop) };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        // Before the first look, so that no end is missed.
        let mut ends = signal(SignalKind::child())?;
        // An error says that somebody else has reaped it.
        while matches!(waitid(WaitId::Pid(leader), look), Ok(None)) {
            // Other code in this process may have taken the signal for itself.
            within(after(Instant::now(), LOOK), ends.recv()).await;
        }
        Ok(())
    }

    /// The same where an end cannot be seen without reaping.
    #[cfg(any(target_os = "cygwin", target_os = "openbsd", target_os = "redox"))]
    pub async fn ended(self, child: &mut Child) -> io::Result<()> {
        child.wait().await.map(drop)
    }

    /// Kills every member. Nothing happens if the leader, which is `child`, has been waited for.
    pub fn kill(self, child: &Child) {
        self.signal(child, rustix::process::Signal::KILL);
    }

    /// Asks every member to end. Nothing happens if the leader, which is `child`, has been waited for.
    pub fn ask_to_end(self, child: &Child) {
        self.signal(child, rustix::process::Signal::TERM);
    }

    fn signal(self, child: &Child, signal: rustix::process::Signal) {
        if let Some(leader) = self.unreaped(child) {
            // The only failure is that nobody is left.
            let _ = rustix::process::kill_process_group(leader, signal);
        }
    }

    /// The number of the leader, for as long as it is the leader's.
    fn unreaped(self, child: &Child) -> Option<rustix::process::Pid> {
        self.leader.filter(|leader| number(child) == Some(*leader))
    }
}

/// `None` once the child is reaped.
#[cfg(unix)]
fn number(child: &Child) -> Option<rustix::process::Pid> {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    id.and_then(rustix::process::Pid::from_raw)
}

#[cfg(not(unix))]
impl ProcessGroup {
    /// Nothing: there are no groups.
    pub fn lead(_: &mut std::process::Command) {}

    /// The child alone.
    pub fn of(_: &Child) -> Self {
        ProcessGroup {}
    }

    /// Completes when the child has ended.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub async fn ended(self, child: &mut Child) -> io::Result<()> {
        child.wait().await.map(drop)
    }

    /// Nothing: there are no groups.
    pub fn kill(self, _: &Child) {}

    /// Nothing: there are no groups.
    pub fn ask_to_end(self, _: &Child) {}
}
