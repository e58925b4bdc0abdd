//! A server that runs as a child process: started with a clean environment, ended with everything it started.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llmspell::{Error, ProcessGroup, Result};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What a program can hardly do without; nothing else is handed on. The list of the SDKs of MCP, and where temporary
/// files and locales are.
const INHERITED: &[&str] = &[
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "USER", // unix
    "APPDATA",
    "LOCALAPPDATA",
    "PROGRAMDATA",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "USERNAME",
    "USERPROFILE",
];

/// How much of what a server last wrote to its standard error is kept.
const STDERR_TAIL_BYTES: usize = 2048;

/// How long standard error is still read after a server has ended.
const PIPE_DRAIN_LIMIT: Duration = Duration::from_millis(100);

/// How long a server that has hung up may take to end by itself.
const HANG_UP_TIME: Duration = Duration::from_millis(200);

/// What is left of a server.
pub(crate) struct ExitInfo {
    /// How it ended; `None` if it did not by itself.
    pub(crate) status: Option<ExitStatus>,
    /// The end of what it wrote to its standard error.
    pub(crate) said: Option<String>,
}

/// How to start a server.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) inherited: Vec<OsString>,
    pub(crate) folder: Option<PathBuf>,
    /// How long it may take to end in good order, after its input has ended and again after SIGTERM.
    pub(crate) grace: Duration,
}

/// A server that runs. Dropping it kills its whole group.
pub(crate) struct ChildTransport {
    child: Child,
    group: ProcessGroup,
    grace: Duration,
    said: StderrTail,
    /// Reads its standard error for as long as this is here, so that a chatty server is not stopped by a full pipe.
    listener: JoinSet<()>,
}

impl Program {
    pub(crate) fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    pub(crate) fn start(&self) -> Result<(ChildTransport, ChildStdout, ChildStdin)> {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        let inherited = INHERITED.iter().map(OsStr::new).chain(self.inherited.iter().map(OsString::as_os_str));
        command.envs(inherited.filter_map(|key| Some((key, std::env::var_os(key)?))));
        command.envs(&self.environment);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ProcessGroup::lead(&mut command);
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        let name = self.name();
        let mut child = command.spawn().map_err(|error| {
            Error::failed(format!("cannot start the MCP server `{name}`: {error}"))
                .with_source(error)
                .with_hint("is it installed, and in the PATH?")
        })?;
        let group = ProcessGroup::of(&child);
        let missing = || Error::failed("the child has no pipes");
        let output = child.stdout.take().ok_or_else(missing)?;
        let input = child.stdin.take().ok_or_else(missing)?;
        let errors = child.stderr.take().ok_or_else(missing)?;
        let secrets = self.environment.values().map(|value| value.to_string_lossy().into_owned());
        let said = StderrTail { tail: Arc::default(), secrets: secrets.filter(|value| value.len() >= 4).collect() };
        let mut listener = JoinSet::new();
        listener.spawn(listen(errors, said.tail.clone()));
        Ok((ChildTransport { child, group, grace: self.grace, said, listener }, output, input))
    }
}

async fn listen(mut errors: impl AsyncRead + Unpin, tail: Arc<Mutex<Vec<u8>>>) {
    let mut bytes = [0; 1024];
    while let Ok(read @ 1..) = errors.read(&mut bytes).await {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&bytes[..read]);
        let surplus = tail.len().saturating_sub(STDERR_TAIL_BYTES);
        tail.drain(..surplus);
    }
}

/// The end of what a server wrote to its standard error, without the values that it was given in its environment.
struct StderrTail {
    tail: Arc<Mutex<Vec<u8>>>,
    secrets: Vec<String>,
}

impl StderrTail {
    fn text(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from_utf8_lossy(&tail).trim().to_owned();
        for secret in &self.secrets {
            text = text.replace(secret, "***");
        }
        text
    }
}

impl ChildTransport {
    /// The number of the process, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the end of a server whose input has ended, then helps; what it has started ends with it.
    pub(crate) async fn end(mut self) {
        if timeout(self.grace, self.group.ended(&mut self.child)).await.is_err() {
            self.group.terminate(&self.child);
            let _ = timeout(self.grace, self.group.ended(&mut self.child)).await;
        }
        self.kill().await;
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.group.kill(&self.child);
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    /// How it ended and what it said last, once it is gone; it is killed if need be.
    pub(crate) async fn last_words(mut self) -> ExitInfo {
        // Whoever hangs up is about to end, and how is worth to be told.
        let has_ended = timeout(HANG_UP_TIME, self.group.ended(&mut self.child)).await.is_ok_and(|ended| ended.is_ok());
        self.group.kill(&self.child);
        // What it wrote is there already; a descendant that left the group may hold the pipe open for ever.
        let _ = timeout(PIPE_DRAIN_LIMIT, self.listener.join_next()).await;
        let said = Some(self.said.text()).filter(|said| !said.is_empty());
        let _ = self.child.start_kill();
        let status = self.child.wait().await.ok();
        ExitInfo { status: status.filter(|_| has_ended), said }
    }
}

impl Drop for ChildTransport {
    fn drop(&mut self) {
        self.group.kill(&self.child);
    }
}
