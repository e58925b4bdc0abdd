//! `command`: runs a program with its arguments, never through a shell.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command as Process, ExitStatus};

use llmspell::schemars::JsonSchema;
use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, Tool};
use serde::{Deserialize, Serialize};

use crate::permission::{Gate, found};

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct Command {
    /// The program and its arguments. No shell reads them: spaces, quotes and `$` mean themselves.
    argv: Vec<String>,
    /// The standard input of the program. The default is empty.
    stdin: Option<String>,
    /// The folder it runs in.
    cwd: Option<PathBuf>,
    /// Environment variables in addition to PATH, HOME, USER, LANG, TZ and TMPDIR. No other variables are passed on.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The largest output in bytes; more is an error. The default is 1 MiB.
    #[serde(default = "one_mebibyte")]
    max_bytes: usize,
}

fn one_mebibyte() -> usize {
    1 << 20
}

/// The output of the program.
#[derive(Serialize)]
struct Output {
    /// Without the trailing line break.
    stdout: String,
    stderr: String,
}

/// Runs a program with its arguments within the permissions of `gate`, as the tool does, and returns `{ stdout, stderr
/// }`. More than `max_bytes` of output is an error; the default is 1 MiB.
///
/// # Errors
/// Fails if the program is not allowed, cannot be started, or ends with a failure.
pub async fn run_command(
    argv: Vec<String>,
    max_bytes: Option<usize>,
    gate: &Gate,
    cx: &Context,
) -> Result<serde_json::Value> {
    let max_bytes = max_bytes.unwrap_or_else(one_mebibyte);
    let command = Command { argv, stdin: None, cwd: None, env: BTreeMap::new(), max_bytes };
    let output = command.run(gate, cx).await?;
    serde_json::to_value(output).map_err(|error| Error::failed("the output is not JSON").with_source(error))
}

/// Environment variables that a program may see. Keys and tokens are not passed on.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"];

/// Prefixes of the variables through which loaders inject code into a program.
const LOADERS: [&str; 2] = ["LD_", "DYLD_"];

/// The longest part of the error output that is quoted in an error, in bytes.
const TAIL: usize = 400;

/// Returns the tool.
pub(crate) fn command(gate: &Gate) -> DynTool {
    let gate = gate.clone();
    let description = "Runs a program and gives { stdout, stderr }. An exit code other than 0 is an error. The program \
                       and all that it started end with the call.";
    let run = move |command: Command, cx: Context| {
        let gate = gate.clone();
        async move { command.run(&gate, &cx).await }
    };
    Tool::new("command", description, run).security(Privilege::Privileged).erase()
}

impl Command {
    async fn run(self, gate: &Gate, cx: &Context) -> Result<Output> {
        let Some(program) = self.argv.first().filter(|program| !program.is_empty()).cloned() else {
            return Err(Error::invalid("`argv` is empty").with_hint("write argv: [program, argument, …]"));
        };
        gate.start(&program)?;
        if gate.both().picks_programs() {
            self.leaves_the_program_as_it_is()?;
        }
        let command = cx.command(self.process(&program)?).max_bytes(self.max_bytes);
        let output = command.stdin(self.stdin.unwrap_or_default()).output().await?;
        if output.status.success() {
            return Ok(Output { stdout: text(output.stdout, "output")?, stderr: text(output.stderr, "error output")? });
        }
        let err = String::from_utf8_lossy(&output.stderr);
        let tail = err.trim_end();
        let tail = tail.char_indices().rev().nth(TAIL - 1).map_or(tail, |(start, _)| from_a_word_on(&tail[start..]));
        let reason = if tail.is_empty() { String::new() } else { format!(": {tail}") };
        Err(Error::failed(format!("{program} {}{reason}", how(output.status))))
    }

    /// Refuses variables that would make an allowed program run other code.
    fn leaves_the_program_as_it_is(&self) -> Result<()> {
        let decides = |name: &&String| *name == "PATH" || LOADERS.iter().any(|prefix| name.starts_with(prefix));
        let Some(name) = self.env.keys().find(decides) else { return Ok(()) };
        let message = format!("setting `{name}` would make the allowed program run other code");
        Err(Error::new(llmspell::ErrorKind::Rejected, message)
            .with_hint("leave it out, or allow any program: --allow command"))
    }

    fn process(&self, program: &str) -> Result<Process> {
        // Looked up here: the system would use the PATH that the call may set.
        let path = found(program).ok_or_else(|| {
            let error = Error::failed(format!("cannot start {program}: program not found")).permanent();
            error.with_hint("name it as in PATH, or by its absolute path")
        })?;
        let mut process = Process::new(path);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::arg0(&mut process, program);
        process.args(&self.argv[1..]).env_clear();
        process.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        process.envs(&self.env);
        if let Some(folder) = &self.cwd {
            process.current_dir(folder);
        }
        Ok(process)
    }
}

/// Returns output as text, without the trailing line break.
fn text(bytes: Vec<u8>, what: &str) -> Result<String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        Error::failed(format!("the {what} is not UTF-8 text"))
            .with_source(error.utf8_error())
            .with_hint("let the program encode it, with base64 or iconv for example")
    })?;
    Ok(without_break(text))
}

/// Returns the rest of a text that was cut, without its first partial word. If a secret were cut, redaction would not
/// recognise its end.
fn from_a_word_on(text: &str) -> &str {
    let between = |character: char| character.is_whitespace() || "\"'`,;()<>[]{}".contains(character);
    text.find(between).map_or("", |end| text[end..].trim_start())
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
        None => format!("was terminated: {status}"),
    }
}

#[cfg(all(test, unix))]
mod tests;
