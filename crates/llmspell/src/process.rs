//! Child processes that end with their call; behind the feature `process`.

mod group;

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
use crate::runtime::executor::{after, spawn_detached, within};
pub use group::ProcessGroup;

/// How long a pipe is still read after the program has ended. What the program wrote is there already; a
/// descendant that left its group may hold the pipe open for ever.
const LEFT_OPEN: Duration = Duration::from_millis(100);

/// How long a killed process may take to be gone before it counts as a runaway.
const REAPED_WITHIN: Duration = Duration::from_millis(100);

/// A program about to run; made by [`Context::command`].
#[must_use = "a command does nothing until `output` is awaited"]
pub struct Command<'a> {
    cx: &'a Context,
    process: std::process::Command,
    stdin: Vec<u8>,
    max_bytes: usize,
    grace: Duration,
}

/// What a program left; made by [`Command::output`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

impl Context {
    /// A program that ends with this call, and everything that it started with it.
    ///
    /// The program leads a process group of its own. However the call ends, by its own exit, a timeout, a lost
    /// race, the whole group is ended and the program is reaped; until that has happened the permits of
    /// this context stay taken, and no retry makes another attempt. What it writes counts as output for
    /// [idle timeouts](crate::Step::idle_timeout). A descendant that leaves the group (`setsid`) is out of reach.
    ///
    /// Arguments, environment and folder are those of `process`; its streams are set here.
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

impl Command<'_> {
    /// What the program reads from its standard input; nothing by default.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// More output than this, on either stream, is an error. The default is 1 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How long the program may take to end in good order (SIGTERM) when the call is dropped, before it is
    /// killed. The default is no time at all.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Runs the program to its end. An exit code other than 0 is not an error here: look at the status.
    ///
    /// # Errors
    /// [`ErrorKind::Failed`](crate::ErrorKind::Failed) if the program cannot be started or writes too much.
    ///
    /// # Panics
    /// Outside of a tokio runtime with input, output and timers (`enable_all`).
    pub async fn output(self) -> Result<Output> {
        self.cx.check_deadline()?;
        let Command { cx, process, stdin, max_bytes, grace } = self;
        let mut running = Running::start(cx, process, grace)?;
        let Running { child, group, custody, pipes: (input, output, errors), .. } = &mut running;
        let child = child.as_mut().expect("the child is there until it is dropped");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = {
            let mut talk = pin!(all(
                feed(input.take(), &stdin),
                read(cx, output, &mut out, "output", max_bytes),
                read(cx, errors, &mut err, "error output", max_bytes),
            ));
            let mut talked = None;
            let mut ended = pin!(ended(child, *group, custody));
            let status = poll_fn(|task| {
                if talked.is_none()
                    && let Poll::Ready(result) = talk.as_mut().poll(task)
                {
                    talked = Some(result);
                }
                match &talked {
                    Some(Err(error)) => Poll::Ready(Err(error.clone())),
                    _ => ended.as_mut().poll(task),
                }
            })
            .await?;
            if talked.is_none()
                && let Some(result) = within(after(Instant::now(), LEFT_OPEN), talk).await
            {
                result?;
            }
            status
        };
        Ok(Output { status, stdout: out, stderr: err })
    }
}

/// A program that runs. Dropping it ends the whole group; the work's end of the tether stays behind until the
/// program is reaped.
struct Running {
    /// `None` only while it is dropped.
    child: Option<Child>,
    group: ProcessGroup,
    pipes: (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>),
    grace: Duration,
    /// `None` once the program has ended.
    custody: Option<WorkGuard>,
    _tether: CallerGuard,
}

impl Running {
    fn start(cx: &Context, mut process: std::process::Command, grace: Duration) -> Result<Running> {
        let program = process.get_program().to_string_lossy().into_owned();
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ProcessGroup::lead(&mut process);
        let mut process = tokio::process::Command::from(process);
        // Where there is no runtime left to reap it.
        process.kill_on_drop(true);
        // First, for nothing may fail once the program runs.
        let (tether, custody) = cx.detached_task(grace.saturating_add(REAPED_WITHIN));
        let mut child = process
            .spawn()
            .map_err(|error| Error::failed(format!("cannot start {program}: {error}")).with_source(error))?;
        let group = ProcessGroup::of(&child);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Ok(Running { child: Some(child), group, pipes, grace, custody: Some(custody), _tether: tether })
    }
}

/// Waits for the program, then ends what it has left behind: nothing outlives the call.
async fn ended(child: &mut Child, group: ProcessGroup, custody: &mut Option<WorkGuard>) -> Result<ExitStatus> {
    group.ended(child).await?;
    group.kill(child);
    let status = child.wait().await?;
    *custody = None;
    Ok(status)
}

impl Drop for Running {
    fn drop(&mut self) {
        let (Some(custody), Some(child)) = (self.custody.take(), self.child.take()) else { return };
        let (group, grace) = (self.group, self.grace);
        if grace.is_zero() {
            group.kill(&child);
        } else {
            group.ask_to_end(&child);
        }
        let (_, output, errors) = std::mem::take(&mut self.pipes);
        let rest = Rest { group, child };
        spawn_detached(async move {
            let _custody = custody;
            let mut rest = rest;
            {
                // Whatever it says on the way is read: a pipe without a reader would kill it.
                let (mut output, mut errors) = (pin!(drain(output)), pin!(drain(errors)));
                let mut ended = pin!(group.ended(&mut rest.child));
                let leave = poll_fn(|task| {
                    let _ = (output.as_mut().poll(task), errors.as_mut().poll(task));
                    ended.as_mut().poll(task)
                });
                within(after(Instant::now(), grace), leave).await;
            }
            group.kill(&rest.child);
            let _ = rest.child.wait().await;
        });
    }
}

/// A program that nobody waits for any more. Wherever it is dropped, its group is ended first: the runtime may go away
/// within the grace, or be gone already.
struct Rest {
    group: ProcessGroup,
    child: Child,
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.group.kill(&self.child);
    }
}

/// Completes when all three have, or with the first failure.
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

/// Reads a pipe and forgets what was in it. Never completes.
async fn drain(pipe: Option<impl AsyncRead + Unpin>) {
    if let Some(mut pipe) = pipe {
        let mut forgotten = [0; 1024];
        while matches!(pipe.read(&mut forgotten).await, Ok(1..)) {}
    }
    std::future::pending::<()>().await;
}

/// Reads a pipe to its end; what has been read stays in `bytes` if the reading is given up.
async fn read(
    cx: &Context,
    pipe: &mut Option<impl AsyncRead + Unpin>,
    bytes: &mut Vec<u8>,
    what: &str,
    most: usize,
) -> Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    while pipe.read_buf(bytes).await? > 0 {
        cx.mark_alive(true);
        if bytes.len() > most {
            return Err(Error::failed(format!("the {what} is larger than {most} bytes")).with_hint("raise `max_bytes`"));
        }
    }
    Ok(())
}
