//! A server that runs as a child process. It starts with a clean environment and ends with its whole process group.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llmspell::process::ProcessGroup;
use llmspell::{Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The variables that every server inherits: those that programs usually require. The list is that of the MCP SDKs, and
/// adds the variables for temporary files and locales.
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

/// The number of bytes kept from the end of a server's standard error.
const STDERR_BYTES: usize = 2048;

/// How long standard error is read after a server has ended.
const STDERR_GRACE: Duration = Duration::from_millis(100);

/// How long a server that has closed its streams may take to exit by itself.
const EXIT_GRACE: Duration = Duration::from_millis(200);

/// The exit of a server.
pub(crate) struct ExitInfo {
    /// The exit status; `None` if the server did not exit by itself.
    pub(crate) status: Option<ExitStatus>,
    /// The end of its standard error.
    pub(crate) stderr: Option<String>,
}

/// The command that starts a server.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) inherited: Vec<OsString>,
    pub(crate) folder: Option<PathBuf>,
    /// How long the server may take to exit after its input has ended, and again after SIGTERM.
    pub(crate) grace: Duration,
}

/// A running server. Dropping it kills its whole process group.
pub(crate) struct ServerProcess {
    child: Child,
    group: ProcessGroup,
    grace: Duration,
    stderr: StderrTail,
    /// Reads standard error as long as the process is held: otherwise a full pipe would block a server that logs much.
    stderr_reader: JoinSet<()>,
}

impl Program {
    pub(crate) fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    pub(crate) fn start(&self) -> Result<(ServerProcess, ChildStdout, ChildStdin)> {
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
                .with_hint("install the program, or add its folder to `PATH`")
        })?;
        let group = ProcessGroup::of(&child);
        let missing = || Error::failed("the child process has no pipes");
        let output = child.stdout.take().ok_or_else(missing)?;
        let input = child.stdin.take().ok_or_else(missing)?;
        let errors = child.stderr.take().ok_or_else(missing)?;
        let secrets = self.environment.values().map(|value| value.to_string_lossy().into_owned());
        let stderr = StderrTail { bytes: Arc::default(), secrets: secrets.filter(|value| value.len() >= 4).collect() };
        let mut stderr_reader = JoinSet::new();
        stderr_reader.spawn(read_stderr(errors, stderr.bytes.clone()));
        Ok((ServerProcess { child, group, grace: self.grace, stderr, stderr_reader }, output, input))
    }
}

async fn read_stderr(mut errors: impl AsyncRead + Unpin, tail: Arc<Mutex<Vec<u8>>>) {
    let mut bytes = [0; 1024];
    while let Ok(read @ 1..) = errors.read(&mut bytes).await {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&bytes[..read]);
        let surplus = tail.len().saturating_sub(STDERR_BYTES);
        tail.drain(..surplus);
    }
}

/// The end of a server's standard error. The values of its environment are redacted.
struct StderrTail {
    bytes: Arc<Mutex<Vec<u8>>>,
    secrets: Vec<String>,
}

impl StderrTail {
    fn text(&self) -> String {
        let tail = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from_utf8_lossy(&tail).trim().to_owned();
        for secret in &self.secrets {
            text = text.replace(secret, "***");
        }
        text
    }
}

impl ServerProcess {
    /// Returns the process id while the server runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the exit of a server whose input has ended, then sends SIGTERM, then kills the whole group.
    pub(crate) async fn end(mut self) {
        if timeout(self.grace, self.group.ended(&mut self.child)).await.is_err() {
            self.group.terminate(&self.child);
            let _ = timeout(self.grace, self.group.ended(&mut self.child)).await;
        }
        self.kill().await;
    }

    /// Kills the process group, and waits until the server is gone.
    pub(crate) async fn kill(mut self) {
        self.group.kill(&self.child);
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    /// Returns the exit of a server that has closed its streams; kills the server if it does not exit soon.
    pub(crate) async fn exit_info(mut self) -> ExitInfo {
        // A server that closes its streams is about to exit, and its exit status explains why.
        let has_ended = timeout(EXIT_GRACE, self.group.ended(&mut self.child)).await.is_ok_and(|ended| ended.is_ok());
        self.group.kill(&self.child);
        // Its output is in the pipe already. The time limit is for a descendant that left the group: it may hold the
        // pipe open for ever.
        let _ = timeout(STDERR_GRACE, self.stderr_reader.join_next()).await;
        let stderr = Some(self.stderr.text()).filter(|text| !text.is_empty());
        let _ = self.child.start_kill();
        let status = self.child.wait().await.ok();
        ExitInfo { status: status.filter(|_| has_ended), stderr }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.group.kill(&self.child);
    }
}
