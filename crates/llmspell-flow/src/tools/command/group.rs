//! A program and everything that it started.

use tokio::process::Child;

/// The process group of a program; ended when dropped.
///
/// A descendant that leaves the group (`setsid`) is out of reach, as it is for a shell.
pub(super) struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

#[cfg(unix)]
impl Group {
    pub(super) fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Group { leader: id.and_then(rustix::process::Pid::from_raw) }
    }

    /// Kills every member. The number of a group is not given away while it has members; when it has none, there is
    /// nobody to kill, and the next process to get that number would have to be a group leader within microseconds.
    pub(super) fn end(&self) {
        if let Some(leader) = self.leader {
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// Where there are no groups, the program itself is killed on drop.
#[cfg(not(unix))]
impl Group {
    pub(super) fn of(_: &Child) -> Self {
        Group {}
    }

    pub(super) fn end(&self) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}
