//! `command`: a program and its arguments; never a line for a shell.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command as Process, ExitStatus};

use llmspell::schemars::JsonSchema;
use llmspell::tool::{ErasedTool, Security};
use llmspell::{Context, Error, Result, Tool};
use serde::{Deserialize, Serialize};

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

/// How much of the error output stands in an error.
const TAIL: usize = 400;

/// The tool.
pub(crate) fn command() -> ErasedTool {
    let description = "Runs a program and gives { stdout, stderr }. An exit code other than 0 is an error. The program \
                       and all that it started end with the call.";
    Tool::new("command", description, |command: Command, cx: Context| async move { command.run(&cx).await })
        .security(Security::Privileged)
        .erase()
}

impl Command {
    async fn run(self, cx: &Context) -> Result<Output> {
        let Some(program) = self.argv.first().filter(|program| !program.is_empty()).cloned() else {
            return Err(Error::invalid("`argv` names no program").with_hint("write argv: [program, argument, …]"));
        };
        let command = cx.command(self.process(&program)).max_bytes(self.max_bytes);
        let output = command.stdin(self.stdin.unwrap_or_default()).output().await?;
        if output.status.success() {
            return Ok(Output { stdout: text(output.stdout, "output")?, stderr: text(output.stderr, "error output")? });
        }
        let err = String::from_utf8_lossy(&output.stderr);
        let tail = err.trim_end();
        let tail = tail.char_indices().rev().nth(TAIL - 1).map_or(tail, |(start, _)| &tail[start..]);
        let reason = if tail.is_empty() { String::new() } else { format!(": {tail}") };
        Err(Error::failed(format!("{program} {}{reason}", how(output.status))))
    }

    fn process(&self, program: &str) -> Process {
        let mut process = Process::new(program);
        process.args(&self.argv[1..]).env_clear();
        process.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        process.envs(&self.env);
        if let Some(folder) = &self.cwd {
            process.current_dir(folder);
        }
        process
    }
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
