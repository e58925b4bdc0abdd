//! A step that calls a tool with arguments from the record so far.

use llmspell::step::{BoxStep, StepInfo};
use llmspell::{Context, Result, Step};
use serde_json::{Map, Value};

use super::scope::Scope;
use crate::template::Template;

pub(super) struct ToolCallStep {
    pub(super) arguments: Vec<(String, Template)>,
    pub(super) tool: BoxStep<Value, Value>,
    /// Whether the tool only computes from its arguments.
    pub(super) is_pure: bool,
}

impl Step for ToolCallStep {
    type In = Scope;
    type Out = Value;

    async fn run(&self, scope: Scope, cx: &Context) -> Result<Value> {
        let arguments = {
            let view = scope.value();
            let arguments = self.arguments.iter().map(|(name, value)| Ok((name.clone(), value.render(&view)?)));
            arguments.collect::<Result<Map<_, _>>>()?
        };
        self.tool.run(Value::Object(arguments), cx).await
    }

    fn info(&self) -> StepInfo<'_> {
        if self.is_pure { self.tool.info().idempotent() } else { self.tool.info() }
    }
}
