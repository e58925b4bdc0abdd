//! All journals of a folder: create, open, list, inspect, command, remove and prune.

use std::path::{Path, PathBuf};

use llmspell::internal::suggest::nearest;
use llmspell::{Error, Result};
use llmspell_flow::Flow;

use super::info::{self, RunInfo};
use super::store::{self, Journal};
use super::{command, folder, retention, schema};
use crate::journal::retention::Retention;

/// The journals of the runs in a folder; by default `.llmspell` in the folder where the run was started.
///
/// ```
/// use llmspell::Context;
/// use llmspell_flow::{Flow, Source, Toolbox};
/// use llmspell_run::{Input, Journals, Output, Run};
/// use llmspell_tools::Permissions;
///
/// let text = "flow: count\nsteps: [{ id: size, tool: text, with: { value: \"${{ inputs.q }}\", count: true } }]";
/// let flow = || Flow::parse(&Source::new("count.yaml", text), &Toolbox::built_in(&Permissions::none())).unwrap();
/// let records = "{\"q\":\"one two\"}\n{\"q\":\"three\"}\n";
/// # let folder = tempfile::tempdir().unwrap();
/// # let state = folder.path().join(".llmspell");
/// let journals = Journals::in_state(&state);
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// let run = |journal| Run::new(flow(), Input::from_reader("records", records.as_bytes()), Output::stdout()).journal(journal);
/// let summary = run(journals.begin(&flow())?).start(&Context::new()).await;
/// assert_eq!((summary.ok, summary.replayed), (2, 0));
///
/// // No work is repeated.
/// let summary = run(journals.open("count-1")?).start(&Context::new()).await;
/// assert_eq!((summary.ok, summary.replayed), (2, 2));
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Journals {
    folder: PathBuf,
}

impl Journals {
    /// The journals in the subfolder `runs` of `state`. The folder is created when the first run begins.
    pub fn in_state(state: &Path) -> Self {
        Journals { folder: state.join("runs") }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins the journal of a new run. Its name is the name of the flow and a counter.
    ///
    /// # Errors
    /// If the journal cannot be written; the hint names a remedy.
    pub fn begin(&self, flow: &Flow) -> Result<Journal> {
        let claimed = folder::create_run(&self.folder, flow.name())?;
        store::begin(&self.folder, claimed, flow)
    }

    /// Opens the journal of a run to resume it.
    ///
    /// # Errors
    /// If the run does not exist, if another process runs it, or if its journal cannot be read.
    pub fn open(&self, name: &str) -> Result<Journal> {
        let path = self.find(name)?;
        let Some(lock) = folder::try_lock(&self.folder, name)? else {
            let message = format!("the run {name} is running");
            return Err(Error::invalid(message).with_hint("wait until it has ended, or end that process"));
        };
        let db = schema::open(&path)?;
        Ok(Journal::new(name.to_owned(), path, db, lock))
    }

    /// Lists all runs, the latest first. A run whose journal cannot be read is listed with its error. Records are not
    /// counted, so that a list of many large runs is quick: see [`RunRecord::counts`](super::RunRecord::counts).
    ///
    /// # Errors
    /// If the folder cannot be read; a missing folder is an empty list.
    pub fn list(&self) -> Result<Vec<RunInfo>> {
        let names = folder::names(&self.folder)?;
        let mut all: Vec<_> = names.into_iter().map(|name| info::read_summary(&self.folder, name)).collect();
        all.sort_by_cached_key(|run| {
            let began = run.record.as_ref().ok().and_then(|record| record.began.clone());
            let number = folder::number(&run.name).map_or(0, |(_, number)| number);
            std::cmp::Reverse((began, number, run.name.clone()))
        });
        Ok(all)
    }

    /// Reads one run with everything in its journal.
    ///
    /// # Errors
    /// If there is no run of this name.
    pub fn info(&self, name: &str) -> Result<RunInfo> {
        self.find(name)?;
        Ok(info::read_full(&self.folder, name.to_owned()))
    }

    /// Sends a command to a running run; [`Run::journal`](crate::Run::journal) lists the commands. Returns the number
    /// under which [`answer`](Journals::answer) returns the answer.
    ///
    /// # Errors
    /// If the run does not exist or is not running, or if its journal cannot be written.
    pub fn send_command(&self, name: &str, command: &str) -> Result<i64> {
        let path = self.find(name)?;
        if !folder::is_locked(&self.folder, name) {
            let run = info::read_summary(&self.folder, name.to_owned());
            let message = format!("the run {name} is not running ({})", run.state_label());
            let hint = match run.is_complete() {
                true => format!("the run is complete; `llmspell report {name}` shows its report"),
                false => format!("resume it: llmspell resume {name}"),
            };
            return Err(Error::invalid(message).with_hint(hint));
        }
        command::send(&path, command)
    }

    /// Returns the answer of the run; `None` as long as there is none. The run polls five times per second. If the run
    /// has ended, the answer says so.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn answer(&self, name: &str, command: i64) -> Result<Option<String>> {
        let path = self.find(name)?;
        let answer = || command::answer(&path, command);
        match answer()? {
            None if !folder::is_locked(&self.folder, name) => {
                // The answer may have come just before the end.
                Ok(answer()?.or_else(|| Some(command::RUN_ENDED.to_owned())))
            }
            given => Ok(given),
        }
    }

    /// Removes a run for good.
    ///
    /// # Errors
    /// If the run does not exist or is running, or if a file cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.find(name)?;
        match folder::try_lock(&self.folder, name)? {
            Some(lock) => folder::remove(&self.folder, name, lock),
            None => Err(Error::invalid(format!("the run {name} is running")).with_hint("end it first")),
        }
    }

    /// Removes old runs that are complete, and runs that never began; returns their names. Runs that can be resumed
    /// stay, even if they exceed the size limit: see [`RunInfo::size`].
    ///
    /// # Errors
    /// If the folder cannot be read, or a file cannot be removed.
    pub fn prune(&self, retention: &Retention) -> Result<Vec<String>> {
        retention::prune(&self.folder, retention)
    }

    fn find(&self, name: &str) -> Result<PathBuf> {
        let path = folder::db_path(&self.folder, name);
        if folder::is_name(name) && path.is_file() {
            return Ok(path);
        }
        let message = format!("there is no run {name:?} in {}", self.folder.display());
        let hint = match self.meant(name) {
            Some(meant) => format!("did you mean {meant}? `llmspell runs` lists all"),
            None => "`llmspell runs` lists all runs; --state names another folder".to_owned(),
        };
        Err(Error::invalid(message).with_hint(hint))
    }

    /// Returns the run that the user may have meant: the latest run of the flow of this name, or the run with the most
    /// similar name.
    fn meant(&self, name: &str) -> Option<String> {
        let names = folder::names(&self.folder).ok()?;
        let latest = |flow: &str| {
            let of_flow = names.iter().filter(|name| folder::number(name).is_some_and(|(of, _)| of == flow));
            of_flow.max_by_key(|name| folder::number(name).map(|(_, number)| number)).cloned()
        };
        let flow = folder::sanitized(folder::number(name).map_or(name, |(flow, _)| flow));
        let flows = || names.iter().filter_map(|name| folder::number(name)).map(|(flow, _)| flow);
        let alike = || nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
        latest(&flow).or_else(alike).or_else(|| latest(nearest(&flow, flows())?))
    }
}
