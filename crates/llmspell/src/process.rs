//! Child processes that end with their call; behind the feature `process`.
//!
//! Owns the process from spawn to reaping: pipes, the process group, and the permits that stay taken until it is gone.

mod group;

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::Instant;

use crate::context::{CallerGuard, Context, WorkGuard};
use crate::error::{Error, Result};
use crate::runtime::executor::spawn_detached;
use crate::runtime::timing::{after, within};
pub use group::ProcessGroup;

/// The time for which a pipe is still read after the program has ended. The program's output is in the pipe already, but
/// a descendant that left the group may hold it open for ever.
const PIPE_DRAIN_LIMIT: Duration = Duration::from_millis(100);

/// The time until a killed process must be reaped. After that it counts as a runaway.
const REAPED_WITHIN: Duration = Duration::from_millis(100);

/// A program to run; made by [`Context::command`].
#[must_use = "a command does nothing until `output` is awaited"]
pub struct Command<'a> {
    cx: &'a Context,
    process: std::process::Command,
    stdin: Vec<u8>,
    max_bytes: usize,
    grace: Duration,
}

/// The output of a program; made by [`Command::output`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// The exit status.
    pub status: ExitStatus,
    /// The bytes of its standard output.
    pub stdout: Vec<u8>,
    /// The bytes of its standard error.
    pub stderr: Vec<u8>,
}

impl Context {
    /// Returns a command for a program that ends with this call, together with all its descendants.
    ///
    /// The program leads a process group of its own. However the call ends, whether by exit, timeout or a lost race, the
    /// whole group is killed and the program is reaped. Until then, the permits of this context stay taken, and no retry
    /// starts. A descendant that leaves the group (`setsid`) is out of reach.
    ///
    /// Its output counts as output for [idle timeouts](crate::Step::idle_timeout). Arguments, environment and working
    /// directory come from `process`; its standard streams are set here.
    ///
    /// ```
    /// use std::process::Command;
    /// use std::time::Duration;
    /// use llmspell::{Context, Step, step};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let shout = step(|text: String, cx: Context| async move {
    ///     let mut tr = Command::new("tr");
    ///     tr.args(["a-z", "A-Z"]);
    ///     let output = cx.command(tr).stdin(text).output().await?;
    ///     Ok(String::from_utf8(output.stdout)?)
    /// });
    /// let shout = shout.timeout(Duration::from_secs(5)).limit(4);
    /// assert_eq!(shout.run("hello".into(), &Context::new()).await?, "HELLO");
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    pub fn command(&self, process: std::process::Command) -> Command<'_> {
        Command { cx: self, process, stdin: Vec::new(), max_bytes: 1 << 20, grace: Duration::ZERO }
    }
}

/// Without arguments and environment, which may contain secrets.
impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("program", &self.process.get_program()).finish_non_exhaustive()
    }
}

impl Command<'_> {
    /// Sets the bytes of the program's standard input. By default, the input is empty.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Sets the maximum size of each output stream. More output is an error. The default is 1 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the time between SIGTERM and SIGKILL when the call is dropped. The default is zero: SIGKILL at once.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Runs the program until it exits. An exit code other than 0 is not an error: check the status.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`](crate::ErrorKind::Failed) if the program cannot be started or its output is too large.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and timers (`enable_all`).
    pub async fn output(self) -> Result<Output> {
        self.cx.check_deadline()?;
        let Command { cx, process, stdin, max_bytes, grace } = self;
        let mut running = RunningProgram::start(cx, process, grace)?;
        let RunningProgram { child, group, work_guard, pipes: (input, output, errors), .. } = &mut running;
        let child = child.as_mut().expect("the child is there until it is dropped");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = {
            let mut transfer = pin!(all(
                feed(input.take(), &stdin),
                read(cx, output, &mut out, "output", max_bytes),
                read(cx, errors, &mut err, "error output", max_bytes),
            ));
            let mut transferred = None;
            let mut ended = pin!(ended(child, *group, work_guard));
            let status = poll_fn(|task| {
                if transferred.is_none()
                    && let Poll::Ready(result) = transfer.as_mut().poll(task)
                {
                    transferred = Some(result);
                }
                match &transferred {
                    Some(Err(error)) => Poll::Ready(Err(error.clone())),
                    _ => ended.as_mut().poll(task),
                }
            })
            .await?;
            if transferred.is_none()
                && let Some(result) = within(after(Instant::now(), PIPE_DRAIN_LIMIT), transfer).await
            {
                result?;
            }
            status
        };
        Ok(Output { status, stdout: out, stderr: err })
    }
}

/// A running program. Dropping it ends the whole group; the work guard is held until the program is reaped.
struct RunningProgram {
    /// `None` only during drop.
    child: Option<Child>,
    group: ProcessGroup,
    pipes: (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>),
    grace: Duration,
    /// `None` once the program has ended.
    work_guard: Option<WorkGuard>,
    _caller_guard: CallerGuard,
}

impl RunningProgram {
    fn start(cx: &Context, mut process: std::process::Command, grace: Duration) -> Result<RunningProgram> {
        let program = process.get_program().to_string_lossy().into_owned();
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ProcessGroup::lead(&mut process);
        let mut process = tokio::process::Command::from(process);
        // For the case that no runtime is left to reap it.
        process.kill_on_drop(true);
        // Before the spawn, because nothing may fail once the program runs.
        let (caller_guard, work_guard) = cx.detached_task(grace.saturating_add(REAPED_WITHIN));
        let mut child = process
            .spawn()
            .map_err(|error| Error::failed(format!("cannot start `{program}`: {error}")).with_source(error))?;
        let group = ProcessGroup::of(&child);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Ok(RunningProgram {
            child: Some(child),
            group,
            pipes,
            grace,
            work_guard: Some(work_guard),
            _caller_guard: caller_guard,
        })
    }
}

/// Waits for the program, then kills its remaining descendants: none outlives the call.
async fn ended(child: &mut Child, group: ProcessGroup, work_guard: &mut Option<WorkGuard>) -> Result<ExitStatus> {
    group.ended(child).await?;
    group.kill(child);
    let status = child.wait().await?;
    *work_guard = None;
    Ok(status)
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        let (Some(work_guard), Some(child)) = (self.work_guard.take(), self.child.take()) else { return };
        let (group, grace) = (self.group, self.grace);
        if grace.is_zero() {
            group.kill(&child);
        } else {
            group.terminate(&child);
        }
        let (_, output, errors) = std::mem::take(&mut self.pipes);
        let orphan = Orphan { group, child };
        spawn_detached(async move {
            let _work_guard = work_guard;
            let mut orphan = orphan;
            {
                // Its output is still read: SIGPIPE would end a program whose pipe has no reader.
                let (mut output, mut errors) = (pin!(drain(output)), pin!(drain(errors)));
                let mut ended = pin!(group.ended(&mut orphan.child));
                let exit = poll_fn(|task| {
                    let _ = (output.as_mut().poll(task), errors.as_mut().poll(task));
                    ended.as_mut().poll(task)
                });
                within(after(Instant::now(), grace), exit).await;
            }
            group.kill(&orphan.child);
            let _ = orphan.child.wait().await;
        });
    }
}

/// A program without a caller. Its group is killed on drop, wherever that happens: the runtime may shut down during the
/// grace period, or be gone already.
struct Orphan {
    group: ProcessGroup,
    child: Child,
}

impl Drop for Orphan {
    fn drop(&mut self) {
        self.group.kill(&self.child);
    }
}

/// Completes when all three futures have, or with the first failure.
async fn all(
    a: impl Future<Output = Result<()>> + Send,
    b: impl Future<Output = Result<()>> + Send,
    c: impl Future<Output = Result<()>> + Send,
) -> Result<()> {
    let (a, b, c) = (pin!(a), pin!(b), pin!(c));
    let mut parts: [Option<Pin<&mut (dyn Future<Output = Result<()>> + Send)>>; 3] = [Some(a), Some(b), Some(c)];
    poll_fn(|task| {
        for slot in &mut parts {
            if let Some(part) = slot
                && let Poll::Ready(result) = part.as_mut().poll(task)
            {
                *slot = None;
                result?;
            }
        }
        if parts.iter().all(Option::is_none) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

async fn feed(stdin: Option<ChildStdin>, bytes: &[u8]) -> Result<()> {
    if let Some(mut stdin) = stdin {
        // A program need not read its input.
        let _ = stdin.write_all(bytes).await;
    }
    Ok(())
}

/// Reads a pipe and discards its content. Never completes.
async fn drain(pipe: Option<impl AsyncRead + Unpin>) {
    if let Some(mut pipe) = pipe {
        let mut discarded = [0; 1024];
        while matches!(pipe.read(&mut discarded).await, Ok(1..)) {}
    }
    std::future::pending::<()>().await;
}

/// Reads a pipe to its end. If the future is dropped, the bytes read so far stay in `bytes`.
async fn read(
    cx: &Context,
    pipe: &mut Option<impl AsyncRead + Unpin>,
    bytes: &mut Vec<u8>,
    stream: &str,
    max_bytes: usize,
) -> Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    while pipe.read_buf(bytes).await? > 0 {
        cx.mark_alive(true);
        if bytes.len() > max_bytes {
            let message = format!("the {stream} is larger than {max_bytes} bytes");
            return Err(Error::failed(message).with_hint("raise `max_bytes`"));
        }
    }
    Ok(())
}
