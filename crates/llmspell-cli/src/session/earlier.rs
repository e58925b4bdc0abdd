//! Earlier runs: which one is continued, and whether its folder and records are still the same.

use std::path::Path;

use llmspell_flow::Flow;
use llmspell_run::{Journal, RunInfo};

use super::journals::{journals, resume_command};
use crate::exit::CommandError;
use crate::options::args::RunArgs;
use crate::ui::terminal;
use crate::ui::text::shell_word;

/// Returns the run whose last session began last, among those that the filter accepts.
pub(crate) fn latest(runs: &[RunInfo], accepts: impl Fn(&RunInfo) -> bool) -> Option<&RunInfo> {
    let began = |run: &&RunInfo| run.record.as_ref().ok().and_then(|run_record| run_record.last_began.clone());
    runs.iter().filter(|run| accepts(run)).max_by_key(began)
}

/// Returns the journal of the latest run of a flow, for `run --only-failed`.
pub(super) fn latest_of_flow(flow: &Flow, args: &RunArgs) -> Result<Journal, CommandError> {
    let journals = journals(&args.journal.state);
    let all = journals.list()?;
    let is_of_flow =
        |run: &RunInfo| run.record.as_ref().is_ok_and(|run_record| run_record.meta("flow") == Some(flow.name()));
    let Some(RunInfo { name, .. }) = latest(&all, is_of_flow) else {
        let message = format!("error: no run of the flow `{}` in {}", flow.name(), journals.folder().display());
        return Err(CommandError::invalid(format!(
            "{message}\n\nhint: leave out --only-failed and --retry in the first run"
        )));
    };
    let journal = journals.open(name)?.retry(args.retry.filter());
    check_folder(&journal)?;
    check_records(&journal, args)?;
    terminal::note(&format!("resuming {name}"));
    Ok(journal)
}

/// Returns the recorded command line of a run; `None` if its journal has none.
pub(crate) fn recorded_words(journal: &Journal) -> Result<Option<Vec<String>>, CommandError> {
    Ok(journal.meta("options")?.and_then(|words| serde_json::from_str(&words).ok()))
}

/// Checks that the run was started in this folder, because its relative paths are resolved against it.
pub(crate) fn check_folder(journal: &Journal) -> Result<(), CommandError> {
    let folder = journal.meta("folder")?.unwrap_or_default();
    if std::env::current_dir().is_ok_and(|here| !folder.is_empty() && here.to_string_lossy() != folder) {
        let message = format!("error: the run {} was started in another folder, {folder}", journal.name());
        return Err(CommandError::invalid(format!(
            "{message}\n\nhint: change to that folder: cd {}",
            shell_word(&folder)
        )));
    }
    Ok(())
}

/// Checks that a run continues with its own records. With others, its failed records would be lost.
fn check_records(journal: &Journal, args: &RunArgs) -> Result<(), CommandError> {
    let Some(recorded) = recorded_words(journal)? else { return Ok(()) };
    let values = |option: &str| recorded.iter().filter_map(|word| word.strip_prefix(option)).collect::<Vec<_>>();
    let (input, files) = (values("--input="), values("--files="));
    let is_same = match &args.input {
        Some(now) => input.last().is_some_and(|then| is_same_file(Path::new(then), now)),
        None => input.is_empty() && files == args.files,
    };
    if is_same {
        return Ok(());
    }
    let (name, records) = (journal.name(), if input.is_empty() { files } else { input }.join(" "));
    let message = format!("error: the records of {name}, the latest run of the flow, are those of {records}");
    let retry = args.retry.words();
    let resume = format!("{} {retry}", resume_command(name, &args.journal.state));
    let hint = match &args.input {
        Some(now) => {
            let now = now.to_string_lossy();
            format!(
                "to use other records: {resume} --input {}; to start a new run, leave out {retry}",
                shell_word(&now)
            )
        }
        None => format!("to use its own records: {resume}; to start a new run, leave out {retry}"),
    };
    Err(CommandError::invalid(format!("{message}\n\nhint: {hint}")))
}

/// Returns whether two paths name one file. The files need not exist.
fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
