//! `llmspell resume`: an earlier run goes on.

use llmspell::Registry;
use llmspell_flow::{Again, Journals, RunInfo};

use crate::args::ResumeArgs;
use crate::exit::{Exit, Failure};
use crate::line::Line;
use crate::run::{self, is_dash};

/// Goes on with a run.
pub(crate) fn resume(args: &ResumeArgs, line: &Line, registry: &Registry) -> Result<Exit, Failure> {
    let journals = run::journals(&args.journal.state);
    let info = match &args.run {
        Some(name) => journals.info(name)?,
        None => latest(&journals, |run| !run.is_running && !run.is_complete(), "resume")?,
    };
    // Locked first: what is read from here on is not changed by another process.
    let journal = journals.open(&info.name)?;
    let then = journal.fact("options")?.and_then(|words| serde_json::from_str::<Vec<String>>(&words).ok());
    let Some(then) = then else {
        let message = format!("error: the run {} does not say how it was started", info.name);
        return Err(Failure::invalid(format!("{message}\n\nhint: it was not begun by `llmspell run`; start it anew")));
    };
    let folder = journal.fact("folder")?.unwrap_or_default();
    if std::env::current_dir().is_ok_and(|here| !folder.is_empty() && here.to_string_lossy() != folder) {
        let message = format!("error: the run {} was started in another folder, {folder}", info.name);
        return Err(Failure::invalid(format!("{message}\n\nhint: its files are there: cd {folder}")));
    }
    let (run, line) = line.resumed(then)?;
    if args.input.is_none() && run.input.as_deref().is_some_and(is_dash) {
        let message = format!("error: the records of the run {} came from standard input", info.name);
        return Err(Failure::invalid(format!("{message}\n\nhint: give them again: --input FILE, or --input -")));
    }
    let again = match (args.only_failed, args.retry.as_slice()) {
        (true, _) => Again::Failed,
        (false, []) => Again::None,
        (false, kinds) => Again::Kinds(kinds.to_vec()),
    };
    run::follow(run, line, registry, Some(journal.again(again)))
}

/// The run that began last, of those that will do.
pub(crate) fn latest(journals: &Journals, will_do: impl Fn(&RunInfo) -> bool, to: &str) -> Result<RunInfo, Failure> {
    let runs = journals.list()?.into_iter().filter(will_do);
    let began = |run: &RunInfo| run.story.as_ref().ok().and_then(|story| story.began.clone());
    runs.max_by_key(began).ok_or_else(|| {
        let message = format!("error: there is no run to {to} in {}", journals.folder().display());
        Failure::invalid(format!("{message}\n\nhint: `llmspell runs` lists all; --state names another folder"))
    })
}
