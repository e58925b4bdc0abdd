//! Journals of sessions, and the commands that resume a run.

use llmspell_flow::Flow;
use llmspell_run::{Journal, Journals, Retention};

use crate::exit::CommandError;
use crate::options::args::{RetentionArgs, RunArgs, StateArgs};
use crate::options::resolved::ResolvedOptions;
use crate::ui::text::shell_word;
use crate::ui::{report, terminal};

/// Returns the journals in the folder of `--state`.
pub(crate) fn journals(state: &StateArgs) -> Journals {
    Journals::in_state(&state.state)
}

/// Returns which complete runs are kept.
pub(crate) fn retention(args: &RetentionArgs) -> Retention {
    let mut retention = Retention::default();
    (retention.keep, retention.max_size) = (args.journal_keep, args.journal_max_size);
    retention
}

/// Returns the journal of an earlier run, or begins one that records how to resume the new run.
pub(super) fn begin_or_continue(
    args: &RunArgs,
    options: &ResolvedOptions,
    flow: &Flow,
    earlier: Option<Journal>,
) -> Result<Option<Journal>, CommandError> {
    if let Some(journal) = earlier {
        let redo = journal.resume_plan(flow)?;
        if redo.records > 0 || redo.rekeyed {
            terminal::note(&report::changed_flow(&redo));
        }
        return Ok(Some(journal));
    }
    if args.journal.no_journal {
        return Ok(None);
    }
    let words = options.journal_words()?;
    // Redacting the secret would change the option, and the run could not be resumed as it was started.
    if let Some(secret) = words.iter().filter_map(|word| flow.secret_in(word.strip_prefix("--set=")?)).next() {
        return Err(CommandError::invalid(format!(
            "error: --set contains the value of the secret `{secret}`, which the journal would record\n\n\
             hint: name it under `secrets:` and use `secrets.{secret}` in the arguments of the tool, or run with --no-journal"
        )));
    }
    let journal = journals(&args.journal.state).begin(flow)?;
    let words = serde_json::to_string(&words).unwrap_or_default();
    journal.set_meta("options", &words)?;
    if let Ok(folder) = std::env::current_dir() {
        journal.set_meta("folder", &folder.to_string_lossy())?;
    }
    Ok(Some(journal))
}

/// Returns the command that resumes a run, without permissions.
pub(crate) fn resume_command(name: &str, state: &StateArgs) -> String {
    let state = state.state.to_string_lossy();
    let state = if state == ".llmspell" { String::new() } else { format!(" --state {}", shell_word(&state)) };
    format!("llmspell resume {name}{state}")
}

/// Returns the command that resumes a run with the permissions of these options, because a journal records none.
pub(super) fn resume_command_of(name: &str, needs_input: bool, args: &RunArgs) -> String {
    let input = if needs_input { " --input FILE" } else { "" };
    let command = resume_command(&format!("{name}{input}"), &args.journal.state);
    args.allow.allow.iter().fold(command, |command, grant| format!("{command} --allow {}", shell_word(grant)))
}

/// Returns the failure of a command that has no run to work on. `verb` is what it does with a run.
pub(crate) fn no_run(journals: &Journals, verb: &str) -> CommandError {
    let message = format!("error: no run to {verb} in {}", journals.folder().display());
    CommandError::invalid(format!(
        "{message}\n\nhint: list the runs with `llmspell runs`, or name another folder with --state"
    ))
}
