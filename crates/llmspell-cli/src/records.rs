//! From flags to records.

use llmspell_flow::{Flow, Input};

use crate::args::{Format, RunArgs};
use crate::exit::{Failure, story};
use crate::run::is_dash;

/// Opens the input, as far as it can be told now whether it can be read.
pub(crate) fn open(args: &RunArgs, flow: &Flow) -> Result<Input, Failure> {
    let format = args.format.map(|format| match format {
        Format::Jsonl => llmspell_flow::Format::Jsonl,
        Format::Csv => llmspell_flow::Format::Csv,
        Format::Tsv => llmspell_flow::Format::Tsv,
    });
    let mut input = match (&args.input, format) {
        (None, _) => Input::files(&args.files)?,
        (Some(path), format) if is_dash(path) => Input::stdin(format.unwrap_or(llmspell_flow::Format::Jsonl)),
        (Some(path), Some(format)) => Input::open_as(path, format)?,
        (Some(path), None) => Input::open(path)?,
    };
    for (field, text) in &args.set {
        let value = flow.value_of(field, text);
        let value = value.map_err(|error| Failure::invalid(format!("error: --set: {}", story(&error))))?;
        input = input.set(field, value);
    }
    if let Some(records) = args.sample {
        input = input.sample(records as usize);
    }
    Ok(input)
}
