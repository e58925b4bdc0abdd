//! The end of a session: what is printed about it, and its exit code.

use llmspell_run::{RunEnd, Summary};

use super::journals::{journals, resume_command_of, retention};
use crate::exit::{CommandError, Exit, render_error};
use crate::options::args::{Progress, Report, RunArgs};
use crate::options::records::is_dash;
use crate::ui::report::{self, ReportHeader};
use crate::ui::terminal;

/// The summary of a session that has ended.
pub(super) struct SessionSummary {
    pub(super) args: RunArgs,
    /// The name of the flow.
    pub(super) flow: String,
    /// The name of the run, if it has a journal.
    pub(super) run_name: Option<String>,
    pub(super) summary: Summary,
    /// The exit code of the signal or deadline that stopped the run.
    pub(super) stopped_by: Option<Exit>,
}

impl SessionSummary {
    /// Prints the summary and the report, removes old journals, and returns the exit code.
    pub(super) fn finish(self) -> Result<Exit, CommandError> {
        let needs_input = self.args.input.as_deref().is_some_and(is_dash);
        let resume = self.run_name.as_ref().map(|name| resume_command_of(name, needs_input, &self.args));
        self.print(resume.as_deref());
        if matches!(self.summary.ending, RunEnd::Complete) && resume.is_some() {
            // An old run that cannot be removed is not a failure of this one.
            let _ = journals(&self.args.journal.state).prune(&retention(&self.args.journal.retention));
        }
        self.exit(resume.as_deref())
    }

    fn print(&self, resume: Option<&str>) {
        if matches!(self.summary.ending, RunEnd::OutputClosed) {
            return;
        }
        let show = &self.args.show;
        let as_json = show.progress() == Progress::Json;
        let is_complete = matches!(self.summary.ending, RunEnd::Complete);
        let header = ReportHeader { flow: &self.flow, run: self.run_name.as_deref(), resume };
        if as_json {
            terminal::object(&report::object(&header, &self.summary));
        } else if !show.quiet || !is_complete {
            terminal::note(&report::summary(&header, &self.summary));
        }
        match show.report() {
            Report::None => {}
            Report::Text if !as_json => {
                let text = report::full_report(&self.summary.report, terminal::terminal_width());
                if !text.is_empty() {
                    terminal::note(&format!("\n{text}"));
                }
            }
            Report::Text | Report::Json => terminal::object(&self.summary.report),
        }
    }

    fn exit(&self, resume: Option<&str>) -> Result<Exit, CommandError> {
        let summary = &self.summary;
        match &summary.ending {
            RunEnd::Aborted => Ok(self.stopped_by.unwrap_or(Exit::Interrupted)),
            RunEnd::Complete if summary.failed > 0 => Ok(Exit::RecordsFailed),
            RunEnd::Complete if self.args.pace.strict && summary.degraded > 0 => Ok(Exit::Degraded),
            RunEnd::Complete | RunEnd::OutputClosed => Ok(Exit::Ok),
            RunEnd::Drained => Ok(Exit::Interrupted),
            RunEnd::Failed(_) => Ok(Exit::RecordsFailed),
            RunEnd::OverBudget(why) => {
                Err(CommandError { exit: Exit::RecordsFailed, text: report::over_budget(why, summary, resume) })
            }
            RunEnd::Stopped(why) => {
                Err(CommandError { exit: Exit::NotAllowed, text: report::stopped(why, summary, resume) })
            }
            RunEnd::InputFailed(error) | RunEnd::OutputFailed(error) | RunEnd::JournalFailed(error) => {
                let hint = retry_hint(summary, resume);
                Err(CommandError::invalid(format!("error: {}{hint}", render_error(error))))
            }
            // An end that this program does not know is not a success.
            _ => Ok(Exit::Interrupted),
        }
    }
}

/// Returns how to continue after an input, output or journal failed: the last line of the error.
fn retry_hint(summary: &Summary, resume: Option<&str>) -> String {
    let has_file = summary.written.as_ref().is_some_and(|written| written.path.is_some());
    match (resume, &summary.ending) {
        (Some(resume), _) => format!("\nhint: then resume the run: {resume}"),
        (None, RunEnd::OutputFailed(_)) if has_file => {
            "\nhint: then run again; --force overwrites the partial file".to_owned()
        }
        (None, _) => String::new(),
    }
}
