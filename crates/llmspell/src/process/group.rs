//! A program and everything that it started.

use tokio::process::Child;

/// The process group of a program.
///
/// A descendant that leaves the group (`setsid`) is out of reach, as it is for a shell. Where there are no
/// groups, only the program itself is ended, by `kill_on_drop`.
#[derive(Clone, Copy)]
pub(super) struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

#[cfg(unix)]
impl Group {
    /// Makes the program the leader of a group of its own.
    pub(super) fn lead(process: &mut std::process::Command) {
        std::os::unix::process::CommandExt::process_group(process, 0);
    }

    pub(super) fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Group { leader: id.and_then(rustix::process::Pid::from_raw) }
    }

    /// Kills every member. The number of a group is not given away while it has members; when it has none, there is
    /// nobody to kill, and the next process to get that number would have to be a group leader within microseconds.
    pub(super) fn kill(self) {
        self.signal(rustix::process::Signal::KILL);
    }

    /// Asks every member to end.
    pub(super) fn ask_to_end(self) {
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
    pub(super) fn lead(_: &mut std::process::Command) {}

    pub(super) fn of(_: &Child) -> Self {
        Group {}
    }

    pub(super) fn kill(self) {}

    pub(super) fn ask_to_end(self) {}
}
