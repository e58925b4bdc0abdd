//! What the user of a flow lets its tools do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use llmspell::{Error, Result};

/// What the tools of a flow may touch beyond their arguments. Nothing, unless granted.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    read: Arc<[PathBuf]>,
    hosts: Arc<[String]>,
    command: bool,
}

impl Permissions {
    /// Nothing but computing.
    pub fn none() -> Self {
        Permissions::default()
    }

    /// Lets `read_file` read what lies in a folder, or one file. Symbolic links are resolved, now for the folder
    /// and later for what is read.
    ///
    /// # Errors
    /// [`Kind::Invalid`](llmspell::Kind::Invalid) if there is no such folder.
    pub fn allow_read(mut self, folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let resolved = folder.canonicalize().map_err(|error| {
            let message = format!("cannot allow reading {}: {error}", folder.display());
            Error::invalid(message).with_hint("name a folder that exists")
        })?;
        self.read = self.read.iter().cloned().chain([resolved]).collect();
        Ok(self)
    }

    /// Lets `http_get` talk to a host: `example.org`, `localhost:8080`, or `*` for any.
    pub fn allow_net(mut self, host: impl Into<String>) -> Self {
        let host = host.into().to_ascii_lowercase();
        self.hosts = self.hosts.iter().cloned().chain([host]).collect();
        self
    }

    /// Lets `command` run programs. They run with all the rights of the user.
    pub fn allow_command(mut self) -> Self {
        self.command = true;
        self
    }

    pub(crate) fn reads(&self) -> bool {
        !self.read.is_empty()
    }

    pub(crate) fn talks(&self) -> bool {
        !self.hosts.is_empty()
    }

    pub(crate) fn commands(&self) -> bool {
        self.command
    }

    /// Whether a path without symbolic links lies in what may be read.
    pub(crate) fn may_read(&self, resolved: &Path) -> bool {
        self.read.iter().any(|allowed| resolved.starts_with(allowed))
    }

    /// Whether a host may be talked to; the port counts if the permission names one.
    pub(crate) fn may_talk_to(&self, host: &str, port: Option<u16>) -> bool {
        let host = host.to_ascii_lowercase();
        self.hosts.iter().any(|allowed| {
            *allowed == "*" || *allowed == host || port.is_some_and(|port| *allowed == format!("{host}:{port}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_whole() {
        let some = Permissions::none().allow_net("Example.org").allow_net("localhost:8080");
        assert!(some.may_talk_to("example.ORG", Some(443)));
        assert!(!some.may_talk_to("evil-example.org", Some(443)));
        assert!(!some.may_talk_to("example.org.evil", Some(443)));
        assert!(some.may_talk_to("localhost", Some(8080)));
        assert!(!some.may_talk_to("localhost", Some(22)));
        assert!(Permissions::none().allow_net("*").may_talk_to("anything", None));
        assert!(!Permissions::none().may_talk_to("", None));
    }

    #[test]
    fn folders_that_do_not_exist_cannot_be_allowed() {
        let error = Permissions::none().allow_read("/nowhere/at/all").unwrap_err();
        assert!(error.hint().is_some());
    }
}
