//! The partial output of an agent itself: what it emits, and at which paths its own steps are.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{ToolCall, ToolResult};

/// The path segment of the step that calls the model.
pub(super) const MODEL: &str = "model";

/// The path segment of the tools.
pub(super) const TOOLS: &str = "tools";

/// The partial output of an agent itself, in the JSON form of [`AgentEvent`]; borrowed, for writing.
#[derive(Serialize)]
pub(super) enum ProgressRef<'a> {
    #[serde(rename = "tool_called")]
    Called(&'a ToolCall),
    #[serde(rename = "tool_answered")]
    Answered(&'a ToolResult),
}

impl From<ProgressRef<'_>> for Value {
    fn from(progress: ProgressRef<'_>) -> Value {
        serde_json::to_value(progress).unwrap_or_default()
    }
}

/// [`ProgressRef`] as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Progress {
    ToolCalled(ToolCall),
    ToolAnswered(ToolResult),
}
