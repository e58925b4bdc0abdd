//! Records read for their own sake, without a run.

use std::sync::Arc;

use llmspell::{Context, Error, Result};
use serde_json::Value;

use super::input::Input;
use super::records::{Records, parse};
use crate::flow::Flow;

/// Reads an input to its end, and shows each record with its place.
pub(crate) async fn read_all(
    mut input: Input,
    flow: &Flow,
    cx: &Context,
    mut see: impl FnMut(usize, Result<Value>),
) -> Result<()> {
    input.form.fit(flow);
    let (mut records, intake) = Records::new(input, None);
    let mut index = 0;
    while let Some(line) = std::future::poll_fn(|task| records.poll_line(task)).await {
        let record = match parse(&line) {
            Ok(record) => Arc::clone(&line.form).record(record, cx).await,
            Err(error) => Err(error),
        };
        see(index, record);
        index += 1;
    }
    match intake.failure() {
        Some(error) => Err(Error::clone(error)),
        None => Ok(()),
    }
}
