//! The files of a session: the records, the output, and the failed records.

use llmspell::{Error, Result};
use llmspell_run::{Input, Output};

use super::partial_file;
use crate::exit::{CommandError, render_error};
use crate::options::args::RunArgs;
use crate::options::records::is_dash;

/// The input and the outputs of a session, open.
pub(super) struct Files {
    pub(super) input: Input,
    pub(super) output: Output,
    /// The lines of failed records, if they go to a file of their own.
    pub(super) errors: Option<Output>,
}

impl Files {
    /// Opens the outputs. Neither the input nor the flow file is overwritten, whatever name it is given by.
    pub(super) fn open(args: &RunArgs, input: Input) -> std::result::Result<Files, CommandError> {
        let output = open_output(args, &input)?;
        let errors = match open_errors(args, &input) {
            Ok(errors) => errors,
            Err(failure) => {
                output.discard();
                return Err(failure);
            }
        };
        // With --files, the outputs may match the pattern, but they are not records.
        let mut input = input.exclude(&args.output);
        if let Some(errors) = &args.errors {
            input = input.exclude(errors);
        }
        Ok(Files { input, output, errors })
    }

    /// Removes the incomplete output files.
    pub(super) fn discard(self) {
        self.output.discard();
        self.errors.into_iter().for_each(Output::discard);
    }
}

fn open_output(args: &RunArgs, input: &Input) -> Result<Output> {
    if args.errors.as_ref() == Some(&args.output) {
        return Err(Error::invalid("--output and --errors are the same file")
            .with_hint("leave out --errors to write failed records to the output"));
    }
    if is_dash(&args.output) {
        return Output::stdout_protecting(input);
    }
    Output::create_protecting(&args.output, args.force, input, &args.flow)
        .map_err(|error| partial_file::explain(error, &args.output, args))
}

fn open_errors(args: &RunArgs, input: &Input) -> std::result::Result<Option<Output>, CommandError> {
    let Some(path) = &args.errors else { return Ok(None) };
    if is_dash(path) {
        return Ok(Some(Output::stdout_protecting(input)?));
    }
    let output = Output::create_protecting(path, args.force, input, &args.flow);
    let output = output.map_err(|error| partial_file::explain(error, path, args));
    output.map(Some).map_err(|error| CommandError::invalid(format!("error: --errors: {}", render_error(&error))))
}
