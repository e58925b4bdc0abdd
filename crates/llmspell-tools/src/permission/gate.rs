//! What a tool asks before it touches anything.

use std::path::Path;

use llmspell::{Error, Result};
use reqwest::Url;

use super::dir_rule::Place;
use super::{Missing, Permissions, Side};

/// What can be granted with values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermissionKind {
    /// Reading files.
    Read,
    /// Writing files.
    Write,
    /// Talking to hosts.
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

/// What a flow asks for and what its user grants: a tool may do what is in both.
#[derive(Clone, Debug)]
pub struct Gate {
    granted: Permissions,
    asked: Permissions,
    both: Permissions,
}

impl Gate {
    /// What is in both of what is granted and what is asked for.
    pub fn new(granted: &Permissions, asked: &Permissions) -> Self {
        Gate { granted: granted.clone(), asked: asked.clone(), both: granted.within(asked) }
    }

    /// A flow that asks for everything: the user alone decides.
    pub fn of_user(granted: &Permissions) -> Self {
        Gate::new(granted, &Permissions::everything())
    }

    pub(crate) fn both(&self) -> &Permissions {
        &self.both
    }

    /// What has to be allowed before a tool of this kind can do anything at all.
    pub fn missing(&self, kind: PermissionKind) -> Vec<Missing> {
        if !self.asked.has(kind) {
            let grant = Permissions::none().ungranted(&Permissions::everything(), kind);
            return grant.into_iter().map(|grant| Missing::new(Side::Flow, grant)).collect();
        }
        let ungranted = self.granted.ungranted(&self.asked, kind);
        ungranted.into_iter().map(|grant| Missing::new(Side::User, grant)).collect()
    }

    /// What has to be allowed before this tool of an extension can run.
    pub fn missing_tool(&self, tool: &llmspell::tool::ToolSpec) -> Option<Missing> {
        let side = if !self.asked.may_run(tool) { Side::Flow } else { Side::User };
        (!self.both.may_run(tool)).then(|| Missing::new(side, format!("tool={}", tool.name)))
    }

    /// What has to be allowed before this program can run.
    pub fn missing_program(&self, program: &str) -> Option<Missing> {
        self.lacks(|side| side.may_start(program), || format!("command={program}"))
    }

    /// What has to be allowed before this host can be talked to.
    pub(crate) fn missing_host(&self, host: &str, port: Option<u16>) -> Option<Missing> {
        self.lacks(|side| side.may_talk_to(host, port), || format!("net={host}"))
    }

    /// What has to be allowed before this address can be talked to; nothing, if it is none: that is wrong otherwise.
    pub fn missing_url(&self, url: &str) -> Option<Missing> {
        let url = Url::parse(url).ok()?;
        self.missing_host(url.host_str()?, url.port_or_known_default())
    }

    /// Whether the flow asks for private addresses, and the user does not grant them.
    pub fn missing_private(&self) -> Option<Missing> {
        (self.asked.private && !self.granted.private).then(|| Missing::new(Side::User, "net-private".to_owned()))
    }

    fn lacks(&self, allows: impl Fn(&Permissions) -> bool, grant: impl FnOnce() -> String) -> Option<Missing> {
        let side = if allows(&self.asked) { Side::User } else { Side::Flow };
        (!allows(&self.both)).then(|| Missing::new(side, grant()))
    }

    /// Whether a path without symbolic links may be read; `shown` is how the call names it.
    pub(crate) fn read(&self, resolved: &Path, shown: &Path) -> Result<()> {
        let allows = |side: &Permissions| side.may_read(resolved);
        self.check(allows, || format!("reading {} is not allowed", shown.display()), || grant("read", resolved))
    }

    /// Whether a path without symbolic links may be written.
    pub(crate) fn write(&self, resolved: &Path, shown: &Path) -> Result<()> {
        let allows = |side: &Permissions| side.may_write(resolved);
        self.check(allows, || format!("writing {} is not allowed", shown.display()), || grant("write", resolved))
    }

    /// Whether a host may be talked to.
    pub(crate) fn talk(&self, host: &str, port: Option<u16>, say: impl Fn(String) -> String) -> Result<()> {
        let allows = |side: &Permissions| side.may_talk_to(host, port);
        self.check(allows, || say(format!("talking to {host} is not allowed")), || format!("net={host}"))
    }

    /// Why a host with a private address may not be talked to.
    pub(crate) fn private(&self, host: &str, say: impl Fn(String) -> String) -> Error {
        let error =
            Error::new(llmspell::ErrorKind::Rejected, say(format!("{host} is private, and was not allowed by itself")));
        error.with_hint(Missing::new(Side::User, format!("net={host}")).hint())
    }

    /// Whether a program may be run.
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

/// The folder of what is wanted, or what is wanted if it is a folder.
fn grant(kind: &str, resolved: &Path) -> String {
    let folder = if resolved.is_dir() { resolved } else { resolved.parent().unwrap_or(resolved) };
    let shown = Place::new(folder, None, kind).map_or_else(|_| folder.display().to_string(), |place| place.to_string());
    format!("{kind}={shown}")
}
