//! What an interrupted run has left where another one wants to write.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use llmspell::Error;
use llmspell_run::{RunInfo, RunStory};

use crate::args::RunArgs;
use crate::resume::latest;
use crate::run::{go_on, journals};

/// The error of an output that cannot be begun; if a run is known that has left `FILE.partial`, it says which.
pub(crate) fn told(error: Error, path: &Path, args: &RunArgs) -> Error {
    let is_left = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::AlreadyExists);
    let Some(place) = place(path).filter(|_| is_left) else { return error };
    let runs = journals(&args.journal.state).list().unwrap_or_default();
    let is_its = |run: &RunInfo| {
        !run.is_running && !run.is_complete() && run.story.as_ref().is_ok_and(|story| outputs(story).contains(&place))
    };
    let Some(RunInfo { name, story: Ok(story), .. }) = latest(&runs, is_its) else { return error };
    let asks_for_input = words(story).iter().any(|word| word == "--input=-");
    let command = go_on(name, asks_for_input, args);
    error.with_hint(format!("the run {name} left it, and goes on with: {command}\nhint: --force overwrites it"))
}

/// The files that a run writes.
fn outputs(story: &RunStory) -> Vec<(PathBuf, OsString)> {
    let folder = Path::new(story.fact("folder").unwrap_or_default());
    let words = words(story);
    let named = words.iter().filter_map(|word| word.strip_prefix("--output=").or(word.strip_prefix("--errors=")));
    named.filter_map(|path| place(&folder.join(path))).collect()
}

/// How it was started.
fn words(story: &RunStory) -> Vec<String> {
    story.fact("options").and_then(|words| serde_json::from_str(words).ok()).unwrap_or_default()
}

/// The folder of a file, whatever it is called, and its name there.
fn place(path: &Path) -> Option<(PathBuf, OsString)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some((folder.canonicalize().ok()?, path.file_name()?.to_owned()))
}
