//! The input of a command, from its options.

use std::path::{Path, PathBuf};

use llmspell_flow::Flow;
use llmspell_run::Input;

use crate::exit::{CommandError, render_error};
use crate::options::args::{Format, PlanArgs, RunArgs};

/// The options that choose the records of a command.
pub(crate) struct RecordOptions<'a> {
    input: Option<&'a PathBuf>,
    files: &'a [String],
    format: Option<Format>,
    set: &'a [(String, String)],
    sample: Option<u32>,
}

impl<'a> RecordOptions<'a> {
    pub(crate) fn of_run(args: &'a RunArgs) -> Self {
        let RunArgs { input, files, format, set, sample, .. } = args;
        RecordOptions { input: input.as_ref(), files, format: *format, set, sample: *sample }
    }

    /// Returns `None` if the command line names no records.
    pub(crate) fn of_plan(args: &'a PlanArgs) -> Option<Self> {
        let PlanArgs { input, files, format, set, sample, .. } = args;
        let has_records = input.is_some() || !files.is_empty();
        has_records.then_some(RecordOptions { input: input.as_ref(), files, format: *format, set, sample: *sample })
    }

    /// Opens the input. If it is a file, its first bytes are checked, so that an input that does not fit the flow is
    /// refused before any work.
    pub(crate) fn open(&self, flow: &Flow) -> Result<Input, CommandError> {
        let format = self.format.map(|format| match format {
            Format::Jsonl => llmspell_run::Format::Jsonl,
            Format::Csv => llmspell_run::Format::Csv,
            Format::Tsv => llmspell_run::Format::Tsv,
        });
        let mut input = match (self.input, format) {
            (None, _) => Input::files(self.files)?,
            (Some(path), format) if is_dash(path) => Input::stdin(format.unwrap_or(llmspell_run::Format::Jsonl)),
            (Some(path), Some(format)) => Input::open_as(path, format)?,
            (Some(path), None) => Input::open(path)?,
        };
        for (field, text) in self.set {
            let value = flow.value_of(field, text);
            let value =
                value.map_err(|error| CommandError::invalid(format!("error: --set: {}", render_error(&error))))?;
            input = input.set(field, value);
        }
        if let Some(records) = self.sample {
            input = input.sample(records as usize);
        }
        Ok(input.checked_for(flow)?)
    }
}

/// Returns whether the path is `-`, which means standard input or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}
