//! The program under test, in a folder of its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Nothing in these tests takes this long, unless it hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(30);

/// A folder with files, in which the program is started.
pub(crate) struct Folder(TempDir);

/// The exit code and the output of a program that has ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llmspell"));
        command.args(args).current_dir(self.0.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LLMSPELL_")) {
            command.env_remove(name);
        }
        // The developer's own configuration and terminal must not change the result.
        command.env("XDG_CONFIG_HOME", self.path(".config")).env("COLUMNS", "80");
        command
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        wait(self.start(args)).await
    }
}

pub(crate) async fn wait(child: Child) -> Output {
    let output = timeout(HANG_TIMEOUT, child.wait_with_output()).await.expect("the program hangs").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(HANG_TIMEOUT, wait).await.unwrap_or_else(|_| panic!("timed out waiting for {what}"));
}

/// Returns the lines of an output.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Compares the output of a command with a snapshot in `snapshots/`, with durations and rates replaced.
///
/// To accept new output, run the tests with `INSTA_UPDATE=always` and review the changed files.
pub(crate) fn assert_output(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("snapshots");
    settings.add_filter(r"in \d+(\.\d+)? (µs|ms|s) \(\d[\d,.]*/s\)", "in [time] ([rate])");
    settings.bind(|| insta::assert_snapshot!(name, text));
}
