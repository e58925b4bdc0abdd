//! Programs that a flow declares as tools, with described arguments.

use std::sync::Arc;

use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, step};
use llmspell_tools::internal::{Gate, run_command};
use minijinja::value::Serde;
use serde_json::{Value, json};

use crate::ir::fields::Inputs;
use crate::template::Template;

/// A program as a flow declares it.
pub(crate) struct FlowCommand {
    pub(crate) args: Inputs,
    /// The words of its command line. They see the arguments of the call as `args`.
    pub(crate) argv: Vec<Template>,
    /// The most bytes of output, above which the call fails; 1 MiB by default.
    pub(crate) max_bytes: Option<usize>,
}

/// Creates the tool that runs the program.
pub(crate) fn flow_command(name: &str, description: &str, own: FlowCommand, gate: &Gate) -> DynTool {
    let FlowCommand { args, argv, max_bytes } = own;
    let mut parameters = args.schema();
    parameters["additionalProperties"] = json!(false);
    let (args, argv, gate) = (Arc::new(args), Arc::new(argv), gate.clone());
    let run = step(move |given: Value, cx: Context| {
        let (args, argv, gate) = (args.clone(), argv.clone(), gate.clone());
        async move {
            let argv = render_argv(&argv, &args, given)?;
            run_command(argv, max_bytes, &gate, &cx).await
        }
    });
    DynTool::from_schema(name, description, parameters, run).security(Privilege::Privileged)
}

/// Renders the words of the command line for one call.
fn render_argv(argv: &[Template], args: &Inputs, given: Value) -> Result<Vec<String>> {
    if let Some(mismatch) = args.mismatch(&given) {
        return Err(Error::bad_arguments(mismatch));
    }
    let Value::Object(given) = given else { return Err(Error::bad_arguments("expected an object")) };
    let scope = minijinja::Value::from(Serde(json!({ "args": args.accept(given)? })));
    let word = |template: &Template| {
        Ok(match template.render(&scope)? {
            Value::String(word) => word,
            other => other.to_string(),
        })
    };
    argv.iter().map(word).collect()
}
