//! What a flow would do with the records of an input, without a run.

use std::sync::Arc;

use llmspell::{Context, Error, Result};
use llmspell_flow::{Flow, InputSurvey};
use serde_json::Value;

use super::Input;
use super::records::{Records, parse};

/// Reads an input, record by record, and tells what a flow would do with it. No tool and no model is called, and memory
/// does not grow with the records.
///
/// # Errors
/// If it cannot be read to its end.
pub async fn survey(flow: &Flow, input: Input) -> Result<InputSurvey> {
    let mut surveyor = flow.surveyor();
    read_all(input, flow, &Context::new(), |record| surveyor.record(record)).await?;
    Ok(surveyor.finish())
}

/// Reads an input to its end, and shows each record.
async fn read_all(mut input: Input, flow: &Flow, cx: &Context, mut see: impl FnMut(Result<Value>)) -> Result<()> {
    input.form.fit(flow);
    let (mut records, intake) = Records::new(input, None);
    while let Some(line) = std::future::poll_fn(|task| records.poll_line(task)).await {
        see(match parse(&line) {
            Ok(record) => Arc::clone(&line.form).record(record, cx).await,
            Err(error) => Err(error),
        });
    }
    match intake.failure() {
        Some(error) => Err(Error::clone(error)),
        None => Ok(()),
    }
}
