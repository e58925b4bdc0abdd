//! `llmspell report`: the report of an earlier run.

use crate::exit::{CommandError, Exit};
use crate::options::args::ReportArgs;
use crate::session;
use crate::ui::{report, runs, terminal};

/// Prints the report of the named run, or of the latest one.
pub(super) fn report(args: &ReportArgs) -> Result<Exit, CommandError> {
    let journals = session::journals(&args.state);
    let name = match &args.run {
        Some(name) => name.clone(),
        None => match session::latest(&journals.list()?, |run| run.record.is_ok()) {
            Some(run) => run.name.clone(),
            None => return Err(session::no_run(&journals, "report on")),
        },
    };
    let info = journals.info(&name)?;
    let run_record = info.record.clone()?;
    let Some(json) = run_record.report else {
        let message =
            format!("error: the run {name} has no report ({}): a session writes it at its end", info.state_label());
        let hint = format!("count its records with `llmspell runs show {name}`");
        return Err(CommandError::invalid(format!("{message}\n\nhint: {hint}")));
    };
    let text = if args.json {
        json
    } else {
        let account = serde_json::from_str(&json).map_err(|error| {
            let message = format!("error: cannot read the report of the run {name}: {error}");
            CommandError::invalid(format!("{message}\n\nhint: print it unchanged with --json"))
        })?;
        format!("{}\n{}", runs::table(&[info]), report::stored_report(&account, terminal::terminal_width()))
    };
    terminal::data(text.trim_end())?;
    Ok(Exit::Ok)
}
