//! All journals of a folder.

use std::path::{Path, PathBuf};

use llmspell::suggest::nearest;
use llmspell::{Error, Result};
use llmspell_flow::Flow;

use super::info::{self, RunInfo};
use super::store::{self, Journal};
use super::{command, folder, retention, schema};
use crate::journal::retention::Retention;

/// The journals of the runs in a folder, which is by default `.llmspell` where the run was started.
///
/// ```
/// use llmspell::Context;
/// use llmspell_flow::{Flow, Source, Toolbox};
/// use llmspell_run::{RunEnd, Input, Journals, Output, Run};
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
/// // Nothing is done twice.
/// let summary = run(journals.open("count-1")?).start(&Context::new()).await;
/// assert_eq!((summary.ok, summary.replayed), (2, 2));
/// # Ok::<(), llmspell::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Journals {
    folder: PathBuf,
}

impl Journals {
    /// Those in the folder `runs` of this one. It need not be there: it is made when a run begins.
    pub fn in_state(state: &Path) -> Self {
        Journals { folder: state.join("runs") }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins the journal of a run. Its name is that of the flow and a number that counts up.
    ///
    /// # Errors
    /// If it cannot be written; the hint says what to do.
    pub fn begin(&self, flow: &Flow) -> Result<Journal> {
        let claimed = folder::create_run(&self.folder, flow.name())?;
        store::begin(&self.folder, claimed, flow)
    }

    /// Opens the journal of a run to go on with it.
    ///
    /// # Errors
    /// If there is none, if another process runs it, or if it cannot be read.
    pub fn open(&self, name: &str) -> Result<Journal> {
        let path = self.find(name)?;
        let Some(lock) = folder::try_lock(&self.folder, name)? else {
            let message = format!("the run {name} is running");
            return Err(Error::invalid(message).with_hint("wait until it has ended, or end that process"));
        };
        let db = schema::open(&path)?;
        Ok(Journal::new(name.to_owned(), path, db, lock))
    }

    /// All runs, the one that began last first. One that cannot be read is there, too, and says why. No records are
    /// counted, so that a list of many and large runs is quick: [`RunRecord::counts`](super::RunRecord::counts).
    ///
    /// # Errors
    /// If the folder cannot be read; that there is none is no error.
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

    /// One run, with all that its journal says.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn info(&self, name: &str) -> Result<RunInfo> {
        self.find(name)?;
        Ok(info::read_full(&self.folder, name.to_owned()))
    }

    /// Asks a run that is running to do something, as [`Run::journal`](crate::Run::journal) lists; returns the number
    /// under which [`answer`](Journals::answer) tells what it says.
    ///
    /// # Errors
    /// If there is no such run, or it is not running, or its journal cannot be written.
    pub fn send_command(&self, name: &str, command: &str) -> Result<i64> {
        let path = self.find(name)?;
        if !folder::is_locked(&self.folder, name) {
            let run = info::read_summary(&self.folder, name.to_owned());
            let message = format!("the run {name} is not running ({})", run.state_label());
            let hint = match run.is_complete() {
                true => format!("there is nothing left to do in it; `llmspell report {name}` shows what it came to"),
                false => format!("go on with it: llmspell resume {name}"),
            };
            return Err(Error::invalid(message).with_hint(hint));
        }
        command::send(&path, command)
    }

    /// What the run has answered; `None` as long as it has not. It looks five times a second. One that has ended, however
    /// it did, has nothing to say: then the answer tells that.
    ///
    /// # Errors
    /// If its journal cannot be read.
    pub fn answer(&self, name: &str, command: i64) -> Result<Option<String>> {
        let path = self.find(name)?;
        let answer = || command::answer(&path, command);
        match answer()? {
            None if !folder::is_locked(&self.folder, name) => {
                // It may have come just before the end.
                Ok(answer()?.or_else(|| Some(command::RUN_ENDED.to_owned())))
            }
            given => Ok(given),
        }
    }

    /// Takes a run away for good.
    ///
    /// # Errors
    /// If there is none, if it is running, or if a file cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.find(name)?;
        match folder::try_lock(&self.folder, name)? {
            Some(lock) => folder::remove(&self.folder, name, lock),
            None => Err(Error::invalid(format!("the run {name} is running")).with_hint("end it first")),
        }
    }

    /// Takes old runs away, as far as they are complete, and such as never began; says which. Those that can be resumed
    /// stay, also if they take more room than there should be: [`RunInfo::size`] tells.
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
            None => "`llmspell runs` lists those there are; --state names another folder".to_owned(),
        };
        Err(Error::invalid(message).with_hint(hint))
    }

    /// The run that may have been meant: the latest of the flow of this name, or the one that is called most alike.
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
