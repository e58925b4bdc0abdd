//! The `FILE.partial` of an interrupted run, in the way of another run.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use llmspell::Error;
use llmspell_run::{RunInfo, RunRecord};

use super::earlier::latest;
use super::journals::{journals, resume_command_of};
use crate::options::args::RunArgs;

/// Adds a hint to the error of an output that cannot be created: which run has left `FILE.partial`, if that is known.
pub(super) fn explain(error: Error, path: &Path, args: &RunArgs) -> Error {
    let exists = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::AlreadyExists);
    let Some(location) = location(path).filter(|_| exists) else { return error };
    let runs = journals(&args.journal.state).list().unwrap_or_default();
    let wrote_it = |run: &RunInfo| {
        let run_record = run.record.as_ref();
        !run.is_running
            && !run.is_complete()
            && run_record.is_ok_and(|run_record| outputs(run_record).contains(&location))
    };
    let Some(RunInfo { name, record: Ok(run_record), .. }) = latest(&runs, wrote_it) else { return error };
    let needs_input = words(run_record).iter().any(|word| word == "--input=-");
    let command = resume_command_of(name, needs_input, args);
    error.with_hint(format!("the run {name} left it; resume that run: {command}\nhint: --force overwrites it"))
}

/// Returns the locations of the files that a run writes.
fn outputs(run_record: &RunRecord) -> Vec<(PathBuf, OsString)> {
    let folder = Path::new(run_record.meta("folder").unwrap_or_default());
    let words = words(run_record);
    let paths = words.iter().filter_map(|word| word.strip_prefix("--output=").or(word.strip_prefix("--errors=")));
    paths.filter_map(|path| location(&folder.join(path))).collect()
}

/// Returns the recorded command line of a run.
fn words(run_record: &RunRecord) -> Vec<String> {
    run_record.meta("options").and_then(|words| serde_json::from_str(words).ok()).unwrap_or_default()
}

/// Returns the folder of a file, resolved, and the name of the file in it. Two paths of one file have one location.
fn location(path: &Path) -> Option<(PathBuf, OsString)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some((folder.canonicalize().ok()?, path.file_name()?.to_owned()))
}
