//! What the tools of a flow may touch beyond their arguments: what the flow asks for *and* its user grants.

mod allowed;
mod dir_rule;
mod gate;
mod host;
mod missing;
mod program;
mod public_address;

use std::path::Path;
use std::sync::Arc;

use llmspell::tool::{Privilege, ToolSpec};
use llmspell::{Error, Result, suggest};

pub(crate) use dir_rule::resolved_in_part;
pub use gate::{Gate, PermissionKind};
pub use missing::{Missing, Side};
pub(crate) use program::found;
pub(crate) use public_address::is_public;

use allowed::Allowed;
use dir_rule::Place;
use host::Host;
use program::Program;

/// One side of what tools may do: what a user grants, or what a flow asks for. Nothing, unless allowed.
///
/// ```
/// use llmspell_tools::Permissions;
///
/// let granted = Permissions::none().allow("net=example.org")?.allow("command")?;
/// let asked = Permissions::none().allow("net")?.allow("command=git")?;
/// let both = granted.within(&asked);
/// assert_eq!(both.list(), ["net=example.org", "command=git"]);
/// # Ok::<(), llmspell::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    read: Allowed<Place>,
    write: Allowed<Place>,
    net: Allowed<Host>,
    /// Whether names may lead to private addresses.
    private: bool,
    command: Allowed<Program>,
    tool: Allowed<String>,
    /// The folder of the flow that asks.
    folder: Option<Arc<Path>>,
}

/// What [`Permissions::allow`] understands, with an example of each.
const KINDS: [(&str, &str); 6] = [
    ("read", "read=DIR"),
    ("write", "write=DIR"),
    ("net", "net=HOST"),
    ("net-private", "net-private"),
    ("command", "command=PROGRAM"),
    ("tool", "tool=NAME"),
];

impl Permissions {
    /// Nothing but computing.
    pub fn none() -> Self {
        Permissions::default()
    }

    /// Whatever there is: for a flow that does not say what it asks for.
    pub fn everything() -> Self {
        Permissions {
            read: Allowed::any(),
            write: Allowed::any(),
            net: Allowed::any(),
            private: true,
            command: Allowed::any(),
            tool: Allowed::any(),
            folder: None,
        }
    }

    /// Nothing yet, of what a flow file in this folder asks for: relative paths begin there, and need not exist.
    pub fn asked_in(folder: impl AsRef<Path>) -> Self {
        Permissions { folder: Some(Arc::from(folder.as_ref())), ..Permissions::default() }
    }

    /// Allows `KIND=VALUE`, or with `KIND` alone any value: `read=DIR`, `write=DIR`, `net=HOST`, `net=HOST:PORT`,
    /// `command=PROGRAM`, `tool=NAME`; and `net-private`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if there is no such kind, or its value cannot be.
    pub fn allow(mut self, what: &str) -> Result<Self> {
        let (kind, value) = match what.split_once('=') {
            Some((kind, value)) => (kind.trim(), Some(value)),
            None => (what.trim(), None),
        };
        if value.is_some_and(|value| value.trim().is_empty()) {
            let message = format!("`{what}` names nothing");
            return Err(Error::invalid(message).with_hint(format!("write `{kind}` alone to allow any")));
        }
        match (kind, value) {
            ("read", Some(folder)) => return self.allow_read(folder),
            ("write", Some(folder)) => return self.allow_write(folder),
            ("net", Some(host)) => return self.allow_net(host.trim()),
            ("command", Some(program)) => return self.allow_command(program),
            ("tool", Some(name)) => return Ok(self.allow_tool(name)),
            ("net-private", None) => self.private = true,
            ("read", None) => self.read = Allowed::any(),
            ("write", None) => self.write = Allowed::any(),
            ("net", None) => self.net = self.net.with_any(),
            ("command", None) => self.command = Allowed::any(),
            ("tool", None) => self.tool = Allowed::any(),
            ("net-private", Some(_)) => {
                let error = Error::invalid("`net-private` takes no value");
                return Err(error.with_hint("name one private host as in `net=192.168.0.7`"));
            }
            _ => {
                let kinds = KINDS.iter().map(|(kind, _)| *kind);
                let hint = suggest::hint(kind, kinds, "the kinds are");
                return Err(Error::invalid(format!("`{kind}` is nothing that could be allowed")).with_hint(hint));
            }
        }
        Ok(self)
    }

    /// Lets files be read that lie in a folder, or one file. Symbolic links are resolved, now for the folder and later
    /// for what is read.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if there is no such folder.
    pub fn allow_read(mut self, folder: impl AsRef<Path>) -> Result<Self> {
        self.read = self.read.with(Place::new(folder.as_ref(), self.folder.as_deref(), "reading")?);
        Ok(self)
    }

    /// Lets files be written that lie in a folder, or one file. Reading them is another permission.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if there is no such folder.
    pub fn allow_write(mut self, folder: impl AsRef<Path>) -> Result<Self> {
        self.write = self.write.with(Place::new(folder.as_ref(), self.folder.as_deref(), "writing")?);
        Ok(self)
    }

    /// Lets a host be talked to: `example.org`, `localhost:8080`, `[::1]:8080`, or `*` for any.
    ///
    /// A private address is talked to if it is named like that itself, as `10.0.0.7` and `localhost` are, or with
    /// [`allow_private`](Permissions::allow_private).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if that is no host: such a permission would never serve.
    pub fn allow_net(mut self, host: impl AsRef<str>) -> Result<Self> {
        self.net = match host.as_ref() {
            "*" => self.net.with_any(),
            host => self.net.with(Host::new(host)?),
        };
        Ok(self)
    }

    /// Lets hosts be talked to whose names lead to private addresses: those of this machine, of the network it is in,
    /// and of services that tell machines in a cloud their credentials.
    pub fn allow_private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Lets a program be run, with all the rights of the user: by a name that is looked up in `PATH`, by its whole
    /// path, or `*` for any.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if it is neither a name nor a whole path.
    pub fn allow_command(mut self, program: impl AsRef<str>) -> Result<Self> {
        self.command = match program.as_ref() {
            "*" => self.command.with_any(),
            program => self.command.with(Program::new(program)?),
        };
        Ok(self)
    }

    /// Lets a tool of an extension run that is not [safe](llmspell::tool::Security::Safe).
    pub fn allow_tool(mut self, name: impl Into<String>) -> Self {
        self.tool = self.tool.with(name.into());
        self
    }

    /// What these permissions allow of what is asked for: each value as the narrower of the two has it. Whether private
    /// addresses may be talked to is for these permissions alone to say; a flow that asks for it is only refused sooner.
    #[must_use]
    pub fn within(&self, asked: &Permissions) -> Permissions {
        Permissions {
            read: self.read.within(&asked.read),
            write: self.write.within(&asked.write),
            net: self.net.within(&asked.net),
            private: self.private,
            command: self.command.within(&asked.command),
            tool: self.tool.within(&asked.tool),
            folder: None,
        }
    }

    /// All of it, in the form in which it is granted: `net=example.org`, or `net` for any.
    pub fn list(&self) -> Vec<String> {
        let mut list = Vec::new();
        for (kind, _) in KINDS {
            match kind {
                "net-private" if self.private => list.push(kind.to_owned()),
                kind => list.extend(PermissionKind::named(kind).into_iter().flat_map(|kind| self.listed(kind))),
            }
        }
        list
    }

    pub(crate) fn may_run(&self, tool: &ToolSpec) -> bool {
        tool.security == Privilege::Safe || self.tool.allows(|name| *name == tool.name)
    }

    /// Whether a path without symbolic links lies in what may be read.
    pub(crate) fn may_read(&self, resolved: &Path) -> bool {
        self.read.allows(|place| place.holds(resolved))
    }

    /// Whether a path without symbolic links lies in what may be written.
    pub(crate) fn may_write(&self, resolved: &Path) -> bool {
        self.write.allows(|place| place.holds(resolved))
    }

    /// Whether a host may be talked to; the port counts if the permission names one.
    pub(crate) fn may_talk_to(&self, host: &str, port: Option<u16>) -> bool {
        self.net.allows(|allowed| allowed.is(host, port))
    }

    /// Whether this host may be talked to under a private address.
    pub(crate) fn may_be_private(&self, host: &str, port: Option<u16>) -> bool {
        self.private || self.net.names(|allowed| allowed.private && allowed.is(host, port))
    }

    pub(crate) fn may_start(&self, program: &str) -> bool {
        self.command.allows(|allowed| allowed.is(program))
    }

    /// Whether programs are allowed by name only.
    pub(crate) fn picks_programs(&self) -> bool {
        !self.command.is_any()
    }

    /// Whether anything of this kind is allowed.
    pub(crate) fn has(&self, kind: PermissionKind) -> bool {
        match kind {
            PermissionKind::Read => !self.read.is_empty(),
            PermissionKind::Write => !self.write.is_empty(),
            PermissionKind::Net => !self.net.is_empty(),
            PermissionKind::Command => !self.command.is_empty(),
            PermissionKind::Tool => !self.tool.is_empty(),
        }
    }

    fn listed(&self, kind: PermissionKind) -> Vec<String> {
        let values = match kind {
            PermissionKind::Read => self.read.listed(),
            PermissionKind::Write => self.write.listed(),
            PermissionKind::Net => self.net.listed(),
            PermissionKind::Command => self.command.listed(),
            PermissionKind::Tool => self.tool.listed(),
        };
        let word = kind.as_str();
        values.into_iter().map(|value| value.map_or(word.to_owned(), |value| format!("{word}={value}"))).collect()
    }

    /// What of this kind is asked for, and not granted, not even in part; in the form in which it is granted.
    pub(crate) fn ungranted(&self, asked: &Permissions, kind: PermissionKind) -> Vec<String> {
        let values = match kind {
            PermissionKind::Read => self.read.ungranted(&asked.read),
            PermissionKind::Write => self.write.ungranted(&asked.write),
            PermissionKind::Net => self.net.ungranted(&asked.net),
            PermissionKind::Command => self.command.ungranted(&asked.command),
            PermissionKind::Tool => self.tool.ungranted(&asked.tool),
        };
        let any =
            || KINDS.iter().find(|(word, _)| *word == kind.as_str()).map_or(String::new(), |(_, all)| (*all).into());
        values.into_iter().map(|value| value.map_or_else(any, |value| format!("{}={value}", kind.as_str()))).collect()
    }
}

#[cfg(test)]
mod tests;
