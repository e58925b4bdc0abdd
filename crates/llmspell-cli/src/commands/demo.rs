//! `llmspell demo`: runs a built-in flow.

use llmspell::Context;
use llmspell::registry::Registry;
use llmspell_flow::{Flow, Source};
use llmspell_run::{Input, Output, Run, RunEnd};

use crate::exit::{CommandError, Exit};
use crate::load;
use crate::options::allow;
use crate::templates::FIRST;
use crate::ui::report::{self, ReportHeader};
use crate::ui::terminal;

/// Runs the first template over its records, without a journal.
pub(super) fn demo(registry: &Registry) -> Result<Exit, CommandError> {
    let toolbox = allow::toolbox_without_permissions(registry)?;
    let flow = Flow::parse(&Source::new("flow.yaml", FIRST.flow), &toolbox).map_err(CommandError::invalid)?;
    let runtime = load::runtime()?;
    let context = Context::recording();
    let input = Input::from_reader("the records of the demo", FIRST.records.as_bytes());
    let summary = runtime.block_on(Run::new(flow, input, Output::stdout()).start(&context));
    if matches!(summary.ending, RunEnd::OutputClosed) {
        return Ok(Exit::Ok);
    }
    terminal::note(&report::summary(&ReportHeader { flow: "demo", run: None, resume: None }, &summary));
    terminal::note(&format!("\n{}", report::full_report(&summary.report, terminal::terminal_width())));
    terminal::note("\nnext: llmspell init my-flow");
    Ok(if summary.failed == 0 { Exit::Ok } else { Exit::RecordsFailed })
}
