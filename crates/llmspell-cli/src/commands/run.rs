//! `llmspell run`: runs a flow over records.

use llmspell::registry::Registry;

use crate::exit::{CommandError, Exit};
use crate::options::args::RunArgs;
use crate::options::resolved::ResolvedOptions;
use crate::session::{self, Request};

/// Runs a flow over records in a new run, or in the latest run of the flow with `--only-failed` and `--retry`.
pub(super) fn run(args: RunArgs, options: ResolvedOptions, registry: &Registry) -> Result<Exit, CommandError> {
    session::run(Request { args, options, journal: None }, registry)
}
