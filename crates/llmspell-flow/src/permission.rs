//! What the user of a flow lets its tools do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use llmspell::tool::{Security, ToolSpec};
use llmspell::{Error, Result};
use reqwest::Url;

/// What the tools of a flow may touch beyond their arguments. Nothing, unless granted.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    read: Arc<[PathBuf]>,
    hosts: Arc<[String]>,
    command: bool,
    tools: Arc<[String]>,
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

    /// Lets `http_get` talk to a host: `example.org`, `localhost:8080`, `[::1]:8080`, or `*` for any.
    ///
    /// # Errors
    /// [`Kind::Invalid`](llmspell::Kind::Invalid) if that is no host: such a permission would never serve.
    pub fn allow_net(mut self, host: impl AsRef<str>) -> Result<Self> {
        let host = host.as_ref();
        let named = if host == "*" { Some(host.to_owned()) } else { normal(host) };
        let named = named.ok_or_else(|| {
            let message = format!("cannot allow talking to `{host}`: that is no host");
            Error::invalid(message)
                .with_hint("name it as in `example.org`, `localhost:8080`, `[::1]:8080`, or `*` for any")
        })?;
        self.hosts = self.hosts.iter().cloned().chain([named]).collect();
        Ok(self)
    }

    /// Lets `command` run programs. They run with all the rights of the user.
    pub fn allow_command(mut self) -> Self {
        self.command = true;
        self
    }

    /// Lets a tool of an extension run that is not [safe](llmspell::tool::Security::Safe).
    pub fn allow_tool(mut self, name: impl Into<String>) -> Self {
        self.tools = self.tools.iter().cloned().chain([name.into()]).collect();
        self
    }

    pub(crate) fn may_run(&self, tool: &ToolSpec) -> bool {
        tool.security == Security::Safe || self.tools.contains(&tool.name)
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

/// A host, with its port if it names one, as addresses write it: in small letters, numbers in full.
fn normal(host: &str) -> Option<String> {
    if host.contains(|c: char| "/?#@*%\\".contains(c) || c.is_whitespace()) {
        return None;
    }
    // Not what the library makes of the port: it leaves out the 80 of http.
    let port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
    let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0));
    let url = Url::parse(&format!("http://{host}/")).ok()?;
    let name = url.host_str()?;
    match port {
        None => Some(name.to_owned()),
        Some(port) => Some(format!("{name}:{}", port?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_whole() {
        let some = Permissions::none().allow_net("Example.org").unwrap().allow_net("localhost:8080").unwrap();
        assert!(some.may_talk_to("example.ORG", Some(443)));
        assert!(!some.may_talk_to("evil-example.org", Some(443)));
        assert!(!some.may_talk_to("example.org.evil", Some(443)));
        assert!(some.may_talk_to("localhost", Some(8080)));
        assert!(!some.may_talk_to("localhost", Some(22)));
        assert!(Permissions::none().allow_net("*").unwrap().may_talk_to("anything", None));
        assert!(!Permissions::none().may_talk_to("", None));
    }

    #[test]
    fn hosts_that_cannot_be_are_refused() {
        for wrong in [
            "http://127.0.0.1",
            "*.0.0.1",
            "127.0.0.1:",
            "",
            " ",
            "a b",
            "a/b",
            "u@h",
            "::1",
            "h:0",
            "h:65536",
            "h:x",
            ":80",
        ] {
            let error = Permissions::none().allow_net(wrong).unwrap_err();
            assert!(error.hint().is_some(), "{wrong}");
        }
        let some = |host: &str| Permissions::none().allow_net(host).unwrap();
        assert!(some("example.org:80").may_talk_to("example.org", Some(80)));
        assert!(!some("example.org:80").may_talk_to("example.org", Some(443)));
        assert!(some("[::1]:8080").may_talk_to("[::1]", Some(8080)));
        assert!(some("[::1]").may_talk_to("[::1]", Some(1)));
    }

    #[test]
    fn folders_that_do_not_exist_cannot_be_allowed() {
        let error = Permissions::none().allow_read("/nowhere/at/all").unwrap_err();
        assert!(error.hint().is_some());
    }
}
