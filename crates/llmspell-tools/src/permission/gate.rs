//! The gate that every tool asks before it touches anything outside.

use std::path::Path;

use llmspell::{Error, Result};
use url::Url;

use super::dir_rule::DirRule;
use super::{Grantor, MissingPermission, Permissions};

/// The kinds of permission that take values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermissionKind {
    /// Reading files.
    Read,
    /// Writing files.
    Write,
    /// Connecting to hosts.
    Net,
    /// Running programs.
    Command,
    /// Calling tools of extensions.
    Tool,
}

impl PermissionKind {
    pub(super) fn named(name: &str) -> Option<Self> {
        [
            PermissionKind::Read,
            PermissionKind::Write,
            PermissionKind::Net,
            PermissionKind::Command,
            PermissionKind::Tool,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == name)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            PermissionKind::Read => "read",
            PermissionKind::Write => "write",
            PermissionKind::Net => "net",
            PermissionKind::Command => "command",
            PermissionKind::Tool => "tool",
        }
    }
}

/// A flow's requests and its user's grants. A tool may do what both contain.
#[derive(Clone, Debug)]
pub struct Gate {
    granted: Permissions,
    asked: Permissions,
    both: Permissions,
}

impl Gate {
    /// Returns the intersection of grants and requests.
    pub fn new(granted: &Permissions, asked: &Permissions) -> Self {
        Gate { granted: granted.clone(), asked: asked.clone(), both: granted.within(asked) }
    }

    /// Returns the gate of a flow that requests everything: the user alone decides.
    pub fn of_user(granted: &Permissions) -> Self {
        Gate::new(granted, &Permissions::everything())
    }

    pub(crate) fn both(&self) -> &Permissions {
        &self.both
    }

    /// Returns the permissions without which a tool of this kind can do nothing.
    pub fn missing(&self, kind: PermissionKind) -> Vec<MissingPermission> {
        if !self.asked.has(kind) {
            let grant = Permissions::none().ungranted(&Permissions::everything(), kind);
            return grant.into_iter().map(|grant| MissingPermission::new(Grantor::Flow, grant)).collect();
        }
        let ungranted = self.granted.ungranted(&self.asked, kind);
        ungranted.into_iter().map(|grant| MissingPermission::new(Grantor::User, grant)).collect()
    }

    /// Returns the permission that this tool of an extension lacks.
    pub fn missing_tool(&self, tool: &llmspell::tool::ToolSpec) -> Option<MissingPermission> {
        let side = if !self.asked.may_run(tool) { Grantor::Flow } else { Grantor::User };
        (!self.both.may_run(tool)).then(|| MissingPermission::new(side, format!("tool={}", tool.name)))
    }

    /// Returns the permission that running this program lacks.
    pub fn missing_program(&self, program: &str) -> Option<MissingPermission> {
        self.lacks(|side| side.may_start(program), || format!("command={program}"))
    }

    /// Returns the permission that connecting to this host lacks.
    pub(crate) fn missing_host(&self, host: &str, port: Option<u16>) -> Option<MissingPermission> {
        self.lacks(|side| side.may_talk_to(host, port), || format!("net={host}"))
    }

    /// Returns the permission that connecting to this address lacks. `None` for an invalid address, which fails
    /// elsewhere.
    pub fn missing_url(&self, url: &str) -> Option<MissingPermission> {
        let url = Url::parse(url).ok()?;
        self.missing_host(url.host_str()?, url.port_or_known_default())
    }

    /// Returns the permission for private addresses if the flow requests it and the user does not grant it.
    pub fn missing_private(&self) -> Option<MissingPermission> {
        (self.asked.private && !self.granted.private)
            .then(|| MissingPermission::new(Grantor::User, "net-private".to_owned()))
    }

    fn lacks(
        &self,
        allows: impl Fn(&Permissions) -> bool,
        grant: impl FnOnce() -> String,
    ) -> Option<MissingPermission> {
        let side = if allows(&self.asked) { Grantor::User } else { Grantor::Flow };
        (!allows(&self.both)).then(|| MissingPermission::new(side, grant()))
    }

    /// Checks whether a path without symbolic links may be read. `shown` is the path as the call names it.
    pub(crate) fn read(&self, resolved: &Path, shown: &Path) -> Result<()> {
        let allows = |side: &Permissions| side.may_read(resolved);
        self.check(allows, || format!("reading {} is not allowed", shown.display()), || grant("read", resolved))
    }

    /// Checks whether a path without symbolic links may be written.
    pub(crate) fn write(&self, resolved: &Path, shown: &Path) -> Result<()> {
        let allows = |side: &Permissions| side.may_write(resolved);
        self.check(allows, || format!("writing {} is not allowed", shown.display()), || grant("write", resolved))
    }

    /// Checks whether connections to a host are allowed.
    #[cfg(feature = "http")]
    pub(crate) fn talk(&self, host: &str, port: Option<u16>, say: impl Fn(String) -> String) -> Result<()> {
        let allows = |side: &Permissions| side.may_talk_to(host, port);
        self.check(allows, || say(format!("connecting to {host} is not allowed")), || format!("net={host}"))
    }

    /// Returns the error for a host at a private address.
    #[cfg(feature = "http")]
    pub(crate) fn private(&self, host: &str, say: impl Fn(String) -> String) -> Error {
        let error =
            Error::new(llmspell::ErrorKind::Rejected, say(format!("{host} is private and was not allowed by name")));
        error.with_hint(MissingPermission::new(Grantor::User, format!("net={host}")).hint())
    }

    /// Checks whether a program may be run.
    pub(crate) fn start(&self, program: &str) -> Result<()> {
        let allows = |side: &Permissions| side.may_start(program);
        self.check(allows, || format!("running `{program}` is not allowed"), || format!("command={program}"))
    }

    fn check(
        &self,
        allows: impl Fn(&Permissions) -> bool,
        message: impl FnOnce() -> String,
        grant: impl FnOnce() -> String,
    ) -> Result<()> {
        match self.lacks(allows, grant) {
            None => Ok(()),
            Some(missing) => Err(Error::new(llmspell::ErrorKind::Rejected, message()).with_hint(missing.hint())),
        }
    }
}

/// Returns the grant for the folder of a path, or for the path itself if it is a folder.
fn grant(kind: &str, resolved: &Path) -> String {
    let folder = if resolved.is_dir() { resolved } else { resolved.parent().unwrap_or(resolved) };
    let shown =
        DirRule::new(folder, None, kind).map_or_else(|_| folder.display().to_string(), |place| place.to_string());
    format!("{kind}={shown}")
}
