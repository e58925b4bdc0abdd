//! `llmspell resume`: an earlier run goes on.

use std::path::Path;

use llmspell::Registry;
use llmspell_flow::Flow;
use llmspell_run::{Journal, Journals, RunInfo};

use crate::args::{ResumeArgs, RunArgs};
use crate::exit::{Exit, Failure};
use crate::line::Line;
use crate::run::{self, is_dash};
use crate::show::{count, shell_word};
use crate::{runs, show};

/// Goes on with a run.
pub(crate) fn resume(args: &ResumeArgs, line: &Line, registry: &Registry) -> Result<Exit, Failure> {
    let journals = run::journals(&args.journal.state);
    let name = match &args.run {
        Some(name) => name.clone(),
        None => the_latest(&journals, args)?,
    };
    // Locked first: what is read from here on is not changed by another process.
    let journal = journals.open(&name)?;
    let Some(then) = noted(&journal)? else {
        let (message, hint) = match journals.info(&name)?.story {
            Ok(story) if story.sessions == 0 => ("was killed before it began", "start it anew: `llmspell run`"),
            _ => ("does not say how it was started", "it was not begun by `llmspell run`; start it anew"),
        };
        return Err(Failure::invalid(format!("error: the run {name} {message}\n\nhint: {hint}")));
    };
    same_folder(&journal)?;
    let (run, line) = line.resumed(then)?;
    if args.input.is_none() && run.input.as_deref().is_some_and(is_dash) {
        let message = format!("error: the records of the run {} came from standard input", name);
        return Err(Failure::invalid(format!("{message}\n\nhint: give them again: --input FILE, or --input -")));
    }
    run::follow(run, line, registry, Some(journal.again(args.again.again())))
}

/// The journal of the latest run of a flow, for `run --only-failed`: what has failed there runs again.
pub(crate) fn of_flow(flow: &Flow, args: &RunArgs) -> Result<Journal, Failure> {
    let journals = run::journals(&args.journal.state);
    let all = journals.list()?;
    let is_its = |run: &RunInfo| run.story.as_ref().is_ok_and(|story| story.fact("flow") == Some(flow.name()));
    let Some(RunInfo { name, .. }) = latest(&all, is_its) else {
        let message = format!("error: no run of the flow `{}` in {}", flow.name(), journals.folder().display());
        return Err(Failure::invalid(format!(
            "{message}\n\nhint: the first time, leave --only-failed and --retry out"
        )));
    };
    let journal = journals.open(name)?.again(args.again.again());
    same_folder(&journal)?;
    same_records(&journal, args)?;
    show::note(&format!("going on with {name}"));
    Ok(journal)
}

/// The words that a run was started with; `None` if it does not say.
fn noted(journal: &Journal) -> Result<Option<Vec<String>>, Failure> {
    Ok(journal.fact("options")?.and_then(|words| serde_json::from_str(&words).ok()))
}

/// Whether the paths of a run are still those that were meant.
fn same_folder(journal: &Journal) -> Result<(), Failure> {
    let folder = journal.fact("folder")?.unwrap_or_default();
    if std::env::current_dir().is_ok_and(|here| !folder.is_empty() && here.to_string_lossy() != folder) {
        let message = format!("error: the run {} was started in another folder, {folder}", journal.name());
        return Err(Failure::invalid(format!("{message}\n\nhint: its files are there: cd {folder}")));
    }
    Ok(())
}

/// Whether a run is asked to go on with the records that it had: with others, those that have failed would be forgotten.
fn same_records(journal: &Journal, args: &RunArgs) -> Result<(), Failure> {
    let Some(then) = noted(journal)? else { return Ok(()) };
    let of = |option: &str| then.iter().filter_map(|word| word.strip_prefix(option)).collect::<Vec<_>>();
    let (input, files) = (of("--input="), of("--files="));
    let is_same = match &args.input {
        Some(now) => input.last().is_some_and(|then| is_same_file(Path::new(then), now)),
        None => input.is_empty() && files == args.files,
    };
    if is_same {
        return Ok(());
    }
    let (name, then) = (journal.name(), if input.is_empty() { files } else { input }.join(" "));
    let message = format!("error: {name}, the latest run of the flow, has its records from {then}");
    let again = args.again.in_words();
    let resume = format!("{} {again}", run::resume_with(name, &args.journal.state));
    let hint = match &args.input {
        Some(now) => format!(
            "with other records: {resume} --input {}; for a run of its own, leave {again} out",
            shell_word(&now.to_string_lossy())
        ),
        None => format!("as it was started: {resume}; for a run of its own, leave {again} out"),
    };
    Err(Failure::invalid(format!("{message}\n\nhint: {hint}")))
}

/// Whether two paths are of one file, which need not be there.
fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The run that is gone on with if none is named.
fn the_latest(journals: &Journals, args: &ResumeArgs) -> Result<String, Failure> {
    let all = journals.list()?;
    let failed =
        |run: &RunInfo| run.story.as_ref().ok().and_then(|story| story.counts).map_or(0, |counts| counts.failed);
    let wants_failed = args.again.is_asked();
    let will_do = |run: &RunInfo| !run.is_complete() || (wants_failed && failed(run) > 0);
    let last = latest(&all, |run| run.story.is_ok());
    if let Some(run) = latest(&all, |run| run.story.is_ok() && !run.is_running && will_do(run)) {
        if let Some(last) = last.filter(|last| last.name != run.name) {
            let state = last.state_in_words();
            show::note(&format!("going on with {}: {}, which was started later, is {state}", run.name, last.name));
        }
        return Ok(run.name.clone());
    }
    let Some(RunInfo { name, story: Ok(story), .. }) = last else { return Err(runs::nothing(journals, "resume")) };
    let (what, hint) = if last.is_some_and(RunInfo::is_complete) {
        let counts = story.counts.unwrap_or_default();
        let what = format!("complete: {} ok", count(counts.ok));
        if counts.failed > 0 {
            let what = format!("{what}, {} failed", count(counts.failed));
            (
                what,
                format!("run those that failed again: {} --only-failed", run::resume_with(name, &args.journal.state)),
            )
        } else {
            (what, format!("`llmspell report {name}` shows what it came to"))
        }
    } else {
        ("running".to_owned(), format!("wait until it has ended; `llmspell runs drain {name}` lets it end early"))
    };
    Err(Failure::invalid(format!("error: {name} is {what}\n\nhint: {hint}")))
}

/// The run whose last session began last, of those that will do.
pub(crate) fn latest(runs: &[RunInfo], will_do: impl Fn(&RunInfo) -> bool) -> Option<&RunInfo> {
    let began = |run: &&RunInfo| run.story.as_ref().ok().and_then(|story| story.last_began.clone());
    runs.iter().filter(|run| will_do(run)).max_by_key(began)
}
