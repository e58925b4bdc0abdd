//! The permissions of tools: a tool may touch what the flow requests *and* its user grants.

mod allow_list;
mod dir_rule;
mod gate;
mod host;
mod missing_permission;
mod program;
mod public_address;

use std::path::Path;
use std::sync::Arc;

use llmspell::internal::suggest;
use llmspell::tool::{Privilege, ToolSpec};
use llmspell::{Error, Result};

pub(crate) use dir_rule::resolved_in_part;
pub use gate::{Gate, PermissionKind};
pub use host::is_http_url;
pub use missing_permission::{Grantor, MissingPermission};
pub(crate) use program::found;
#[cfg(feature = "http")]
pub(crate) use public_address::is_public;

use allow_list::AllowList;
use dir_rule::DirRule;
use host::Host;
use program::Program;

/// One side of the permissions: the user's grants or the flow's requests. Empty unless something is allowed.
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
    read: AllowList<DirRule>,
    write: AllowList<DirRule>,
    net: AllowList<Host>,
    /// Whether host names may resolve to private addresses.
    private: bool,
    command: AllowList<Program>,
    tool: AllowList<String>,
    /// The folder of the flow file that makes the request.
    folder: Option<Arc<Path>>,
}

/// The kinds that [`Permissions::allow`] accepts, with an example of each.
const KINDS: [(&str, &str); 6] = [
    ("read", "read=DIR"),
    ("write", "write=DIR"),
    ("net", "net=HOST"),
    ("net-private", "net-private"),
    ("command", "command=PROGRAM"),
    ("tool", "tool=NAME"),
];

impl Permissions {
    /// Returns permissions that allow nothing but computation.
    pub fn none() -> Self {
        Permissions::default()
    }

    /// Returns permissions that allow everything, for a flow that states no requests.
    pub fn everything() -> Self {
        Permissions {
            read: AllowList::any(),
            write: AllowList::any(),
            net: AllowList::any(),
            private: true,
            command: AllowList::any(),
            tool: AllowList::any(),
            folder: None,
        }
    }

    /// Returns empty permissions for the requests of a flow file in this folder. Relative paths start there and need
    /// not exist.
    pub fn asked_in(folder: impl AsRef<Path>) -> Self {
        Permissions { folder: Some(Arc::from(folder.as_ref())), ..Permissions::default() }
    }

    /// Allows `KIND=VALUE`, or any value with `KIND` alone: `read=DIR`, `write=DIR`, `net=HOST`, `net=HOST:PORT`,
    /// `command=PROGRAM`, `tool=NAME`; and `net-private`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) for an unknown kind or an invalid value.
    pub fn allow(mut self, what: &str) -> Result<Self> {
        let (kind, value) = match what.split_once('=') {
            Some((kind, value)) => (kind.trim(), Some(value)),
            None => (what.trim(), None),
        };
        if value.is_some_and(|value| value.trim().is_empty()) {
            let message = format!("`{what}` has no value");
            return Err(Error::invalid(message).with_hint(format!("write `{kind}` alone to allow any")));
        }
        match (kind, value) {
            ("read", Some(folder)) => return self.allow_read(folder),
            ("write", Some(folder)) => return self.allow_write(folder),
            ("net", Some(host)) => return self.allow_net(host.trim()),
            ("command", Some(program)) => return self.allow_command(program),
            ("tool", Some(name)) => return Ok(self.allow_tool(name)),
            ("net-private", None) => self.private = true,
            ("read", None) => self.read = AllowList::any(),
            ("write", None) => self.write = AllowList::any(),
            ("net", None) => self.net = self.net.with_any(),
            ("command", None) => self.command = AllowList::any(),
            ("tool", None) => self.tool = AllowList::any(),
            ("net-private", Some(_)) => {
                let error = Error::invalid("`net-private` takes no value");
                return Err(error.with_hint("name one private host as in `net=192.168.0.7`"));
            }
            _ => {
                let kinds = KINDS.iter().map(|(kind, _)| *kind);
                let hint = suggest::hint(kind, kinds, "the kinds are");
                return Err(Error::invalid(format!("unknown permission `{kind}`")).with_hint(hint));
            }
        }
        Ok(self)
    }

    /// Allows reading the files in a folder, or one file. Symbolic links are resolved: now for the folder, at each
    /// read for the file.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if the folder does not exist.
    pub fn allow_read(mut self, folder: impl AsRef<Path>) -> Result<Self> {
        self.read = self.read.with(DirRule::new(folder.as_ref(), self.folder.as_deref(), "reading")?);
        Ok(self)
    }

    /// Allows writing the files in a folder, or one file. Reading them is a separate permission.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if the folder does not exist.
    pub fn allow_write(mut self, folder: impl AsRef<Path>) -> Result<Self> {
        self.write = self.write.with(DirRule::new(folder.as_ref(), self.folder.as_deref(), "writing")?);
        Ok(self)
    }

    /// Allows connections to a host: `example.org`, `localhost:8080`, `[::1]:8080`, or `*` for any.
    ///
    /// A private address is allowed if the host itself names it, as `10.0.0.7` and `localhost` do, or with
    /// [`allow_private`](Permissions::allow_private).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if the text is not a host: such a permission would never
    /// match.
    pub fn allow_net(mut self, host: impl AsRef<str>) -> Result<Self> {
        self.net = match host.as_ref() {
            "*" => self.net.with_any(),
            host => self.net.with(Host::new(host)?),
        };
        Ok(self)
    }

    /// Allows hosts whose names resolve to private addresses: this machine, its network, and the metadata services
    /// that hand credentials to machines in a cloud.
    pub fn allow_private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Allows running a program with all rights of the user: by a name that is looked up in `PATH`, by its absolute
    /// path, or `*` for any.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](llmspell::ErrorKind::Invalid) if the text is neither a name nor an absolute path.
    pub fn allow_command(mut self, program: impl AsRef<str>) -> Result<Self> {
        self.command = match program.as_ref() {
            "*" => self.command.with_any(),
            program => self.command.with(Program::new(program)?),
        };
        Ok(self)
    }

    /// Allows a tool of an extension that is not [safe](llmspell::tool::Privilege::Safe).
    pub fn allow_tool(mut self, name: impl Into<String>) -> Self {
        self.tool = self.tool.with(name.into());
        self
    }

    /// Returns the intersection of these grants with a flow's requests; of each pair of values, the narrower one. Only
    /// the grants decide about private addresses; checking the request merely refuses a flow sooner.
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

    /// Returns the list of permissions in the form in which they are granted: `net=example.org`, or `net` for any.
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

    /// Returns whether a path without symbolic links may be read.
    pub(crate) fn may_read(&self, resolved: &Path) -> bool {
        self.read.allows(|place| place.holds(resolved))
    }

    /// Returns whether a path without symbolic links may be written.
    pub(crate) fn may_write(&self, resolved: &Path) -> bool {
        self.write.allows(|place| place.holds(resolved))
    }

    /// Returns whether connections to a host are allowed. The port counts if the permission names one.
    pub(crate) fn may_talk_to(&self, host: &str, port: Option<u16>) -> bool {
        self.net.allows(|allowed| allowed.is(host, port))
    }

    /// Returns whether this host is allowed at a private address.
    #[cfg(any(feature = "http", test))]
    pub(crate) fn may_be_private(&self, host: &str, port: Option<u16>) -> bool {
        self.private || self.net.names(|allowed| allowed.private && allowed.is(host, port))
    }

    pub(crate) fn may_start(&self, program: &str) -> bool {
        self.command.allows(|allowed| allowed.is(program))
    }

    /// Returns whether programs are allowed by name only.
    pub(crate) fn picks_programs(&self) -> bool {
        !self.command.is_any()
    }

    /// Returns whether anything of this kind is allowed.
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

    /// Returns the requests of this kind that are not granted even in part, in the form in which they are granted.
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
