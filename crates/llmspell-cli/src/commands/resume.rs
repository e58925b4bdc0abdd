//! `llmspell resume`: continues an earlier run.

use llmspell::registry::Registry;
use llmspell_run::{Journals, RunInfo};

use crate::exit::{CommandError, Exit};
use crate::options::args::ResumeArgs;
use crate::options::records::is_dash;
use crate::options::resolved::ResolvedOptions;
use crate::session::{self, Request};
use crate::ui::terminal;
use crate::ui::text::count;

/// Resumes the named run, or the latest one that can be resumed.
pub(super) fn resume(args: &ResumeArgs, options: &ResolvedOptions, registry: &Registry) -> Result<Exit, CommandError> {
    let journals = session::journals(&args.journal.state);
    let name = match &args.run {
        Some(name) => name.clone(),
        None => latest_resumable(&journals, args)?,
    };
    // Locked first, so that no other process changes what is read below.
    let journal = journals.open(&name)?;
    let Some(recorded) = session::recorded_words(&journal)? else {
        let (message, hint) = match journals.info(&name)?.record {
            Ok(run_record) if run_record.sessions == 0 => {
                ("was killed before it began", "start a new run with `llmspell run`")
            }
            _ => ("has no recorded options, because `llmspell run` did not start it", "start a new run"),
        };
        return Err(CommandError::invalid(format!("error: the run {name} {message}\n\nhint: {hint}")));
    };
    session::check_folder(&journal)?;
    let (run_args, options) = options.resumed(recorded)?;
    if args.input.is_none() && run_args.input.as_deref().is_some_and(is_dash) {
        let message = format!("error: the records of the run {name} came from standard input");
        return Err(CommandError::invalid(format!(
            "{message}\n\nhint: provide them again: --input FILE, or --input -"
        )));
    }
    let journal = Some(journal.retry(args.retry.filter()));
    session::run(Request { args: run_args, options, journal }, registry)
}

/// Returns the run to resume if the command line names none.
fn latest_resumable(journals: &Journals, args: &ResumeArgs) -> Result<String, CommandError> {
    let all = journals.list()?;
    let failed = |run: &RunInfo| {
        run.record.as_ref().ok().and_then(|run_record| run_record.counts).map_or(0, |counts| counts.failed)
    };
    let wants_failed = args.retry.is_set();
    let has_work = |run: &RunInfo| !run.is_complete() || (wants_failed && failed(run) > 0);
    let last = session::latest(&all, |run| run.record.is_ok());
    if let Some(run) = session::latest(&all, |run| run.record.is_ok() && !run.is_running && has_work(run)) {
        if let Some(last) = last.filter(|last| last.name != run.name) {
            let state = last.state_label();
            terminal::note(&format!("resuming {}; {}, which started later, is {state}", run.name, last.name));
        }
        return Ok(run.name.clone());
    }
    Err(last.map_or_else(|| session::no_run(journals, "resume"), |last| not_resumable(last, args)))
}

/// Returns why the last run cannot be resumed.
fn not_resumable(last: &RunInfo, args: &ResumeArgs) -> CommandError {
    let name = &last.name;
    let (state, hint) = if last.is_complete() {
        let counts = last.record.as_ref().ok().and_then(|run_record| run_record.counts).unwrap_or_default();
        let state = format!("complete: {} ok", count(counts.ok));
        if counts.failed > 0 {
            let resume = session::resume_command(name, &args.journal.state);
            (
                format!("{state}, {} failed", count(counts.failed)),
                format!("run the failed records again: {resume} --only-failed"),
            )
        } else {
            (state, format!("see its report with `llmspell report {name}`"))
        }
    } else {
        ("running".to_owned(), format!("wait until it has ended, or end it early with `llmspell runs drain {name}`"))
    };
    CommandError::invalid(format!("error: {name} is {state}\n\nhint: {hint}"))
}
