//! From flags to records.

use llmspell_flow::Flow;

use llmspell_run::Input;

use std::path::PathBuf;

use crate::args::{Format, PlanArgs, RunArgs};
use crate::exit::{Failure, story};
use crate::run::is_dash;

/// Where the records of a command come from.
pub(crate) struct From<'a> {
    input: Option<&'a PathBuf>,
    files: &'a [String],
    format: Option<Format>,
    set: &'a [(String, String)],
    sample: Option<u32>,
}

impl<'a> From<'a> {
    pub(crate) fn run(args: &'a RunArgs) -> Self {
        let RunArgs { input, files, format, set, sample, .. } = args;
        From { input: input.as_ref(), files, format: *format, set, sample: *sample }
    }

    /// `None` if there is no input.
    pub(crate) fn plan(args: &'a PlanArgs) -> Option<Self> {
        let PlanArgs { input, files, format, set, sample, .. } = args;
        let there = input.is_some() || !files.is_empty();
        there.then_some(From { input: input.as_ref(), files, format: *format, set, sample: *sample })
    }
}

/// Opens the input, and looks at its beginning if it is a file: what can be no input of this flow is told before any
/// work.
pub(crate) fn open(args: &From<'_>, flow: &Flow) -> Result<Input, Failure> {
    let format = args.format.map(|format| match format {
        Format::Jsonl => llmspell_run::Format::Jsonl,
        Format::Csv => llmspell_run::Format::Csv,
        Format::Tsv => llmspell_run::Format::Tsv,
    });
    let mut input = match (args.input, format) {
        (None, _) => Input::files(args.files)?,
        (Some(path), format) if is_dash(path) => Input::stdin(format.unwrap_or(llmspell_run::Format::Jsonl)),
        (Some(path), Some(format)) => Input::open_as(path, format)?,
        (Some(path), None) => Input::open(path)?,
    };
    for (field, text) in args.set {
        let value = flow.value_of(field, text);
        let value = value.map_err(|error| Failure::invalid(format!("error: --set: {}", story(&error))))?;
        input = input.set(field, value);
    }
    if let Some(records) = args.sample {
        input = input.sample(records as usize);
    }
    Ok(input.checked_for(flow)?)
}
