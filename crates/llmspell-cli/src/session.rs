//! A session of a run, from options to an exit code, and what commands share about runs and their journals.
//!
//! `run` and `resume` both make a [`Request`] and pass it to [`run`]: a request is prepared, executed and summarised.
//! This module imports no command.

mod earlier;
mod execute;
mod files;
mod journals;
mod partial_file;
mod prepare;
mod summary;

use llmspell::registry::Registry;
use llmspell_run::Journal;

use crate::exit::{CommandError, Exit};
use crate::options::args::RunArgs;
use crate::options::resolved::ResolvedOptions;

pub(crate) use earlier::{check_folder, latest, recorded_words};
pub(crate) use journals::{journals, no_run, resume_command, retention};

/// A request for a session: the options of a run, and the journal of the run that it continues.
pub(crate) struct Request {
    pub(crate) args: RunArgs,
    pub(crate) options: ResolvedOptions,
    /// `None` for a new run.
    pub(crate) journal: Option<Journal>,
}

/// Runs a session to its end. Every invalid option, file and flow is reported before the first record is read.
pub(crate) fn run(request: Request, registry: &Registry) -> Result<Exit, CommandError> {
    let prepared = request.prepare(registry)?;
    let summary = prepared.execute();
    summary.finish()
}
