//! `command`: a program and its arguments; never a line for a shell.

mod group;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use llmspell::schemars::JsonSchema;
use llmspell::tool::{ErasedTool, Security};
use llmspell::{Context, Error, Result, Tool};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command as Process};

use group::Group;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct Command {
    /// The program and its arguments. No shell reads them: spaces, quotes and `$` mean themselves.
    argv: Vec<String>,
    /// What the program reads from its standard input; nothing by default.
    stdin: Option<String>,
    /// The folder it runs in.
    cwd: Option<PathBuf>,
    /// Environment variables on top of PATH, HOME, USER, LANG, TZ and TMPDIR; no others are passed on.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// More output than this is an error. The default is 1 MiB.
    #[serde(default = "one_mebibyte")]
    max_bytes: usize,
}

fn one_mebibyte() -> usize {
    1 << 20
}

/// What comes out.
#[derive(Serialize)]
struct Output {
    /// Without the line break at its end.
    stdout: String,
    stderr: String,
}

/// What a program may see of the environment; keys and tokens stay here.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"];

/// How long a pipe is still read after the program has ended. What the program wrote is there already; a descendant that
/// left its group may hold the pipe open for ever.
const GRACE: Duration = Duration::from_millis(100);

/// How much of the error output stands in an error.
const TAIL: usize = 400;

/// The tool.
pub(crate) fn command() -> ErasedTool {
    let description = "Runs a program and gives { stdout, stderr }. An exit code other than 0 is an error. The program \
                       and all that it started end with the call.";
    Tool::new("command", description, |command: Command, _: Context| command.run())
        .security(Security::Privileged)
        .erase()
}

impl Command {
    async fn run(self) -> Result<Output> {
        let Some(program) = self.argv.first().filter(|program| !program.is_empty()) else {
            return Err(Error::invalid("`argv` names no program").with_hint("write argv: [program, argument, …]"));
        };
        let mut child = self
            .process(program)
            .spawn()
            .map_err(|error| Error::failed(format!("cannot start {program}: {error}")).with_source(error))?;
        // Before anything else can fail: from here on the group ends when this is dropped.
        let group = Group::of(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = {
            let talk = async {
                tokio::try_join!(
                    feed(stdin, self.stdin.as_deref().unwrap_or_default()),
                    read(stdout, &mut out, "output", self.max_bytes),
                    read(stderr, &mut err, "error output", self.max_bytes),
                )
            };
            tokio::pin!(talk);
            tokio::select! {
                talked = &mut talk => {
                    talked?;
                    ended(&mut child, &group).await?
                }
                status = ended(&mut child, &group) => {
                    if let Ok(talked) = tokio::time::timeout(GRACE, &mut talk).await {
                        talked?;
                    }
                    status?
                }
            }
        };
        if status.success() {
            return Ok(Output { stdout: text(out, "output")?, stderr: text(err, "error output")? });
        }
        let err = String::from_utf8_lossy(&err);
        let tail = err.trim_end();
        let tail = tail.char_indices().rev().nth(TAIL - 1).map_or(tail, |(start, _)| &tail[start..]);
        let reason = if tail.is_empty() { String::new() } else { format!(": {tail}") };
        Err(Error::failed(format!("{program} {}{reason}", how(status))))
    }

    fn process(&self, program: &str) -> Process {
        let mut process = Process::new(program);
        process.args(&self.argv[1..]).env_clear();
        process.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        process.envs(&self.env);
        if let Some(folder) = &self.cwd {
            process.current_dir(folder);
        }
        process.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
        // The runtime reaps what is killed here.
        process.kill_on_drop(true);
        #[cfg(unix)]
        process.process_group(0);
        process
    }
}

/// Waits for the program, then ends what it has left behind: nothing outlives the call.
async fn ended(child: &mut Child, group: &Group) -> Result<ExitStatus> {
    let status = child.wait().await?;
    group.end();
    Ok(status)
}

async fn feed(stdin: Option<ChildStdin>, text: &str) -> Result<()> {
    if let Some(mut stdin) = stdin {
        // A program need not read its input.
        let _ = stdin.write_all(text.as_bytes()).await;
    }
    Ok(())
}

/// Reads a pipe to its end; what has been read stays in `bytes` if the reading is given up.
async fn read(pipe: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>, what: &str, most: usize) -> Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    while pipe.read_buf(bytes).await? > 0 {
        if bytes.len() > most {
            return Err(Error::failed(format!("the {what} is larger than {most} bytes")).with_hint("raise `max_bytes`"));
        }
    }
    Ok(())
}

/// Output as text, without the line break at its end.
fn text(bytes: Vec<u8>, what: &str) -> Result<String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        Error::failed(format!("the {what} is not UTF-8 text"))
            .with_source(error.utf8_error())
            .with_hint("let the program encode it, with base64 or iconv for example")
    })?;
    Ok(without_break(text))
}

fn without_break(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn how(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => format!("was ended: {status}"),
    }
}

#[cfg(all(test, unix))]
mod tests;
