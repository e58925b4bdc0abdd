//! Programs as tools of a flow's own, with arguments that are described.

use std::sync::Arc;

use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, step};
use llmspell_tools::internal::{Gate, run_command};
use minijinja::value::Serde;
use serde_json::{Value, json};

use crate::ir::fields::Inputs;
use crate::template::Template;

/// A program as a flow declares it.
pub(crate) struct OwnCommand {
    pub(crate) args: Inputs,
    /// Its words, which see the arguments of the call as `args`.
    pub(crate) argv: Vec<Template>,
    /// More output than this is an error; 1 MiB, if nothing is said.
    pub(crate) max_bytes: Option<usize>,
}

/// The tool that runs it.
pub(crate) fn own_command(name: &str, description: &str, own: OwnCommand, gate: &Gate) -> DynTool {
    let OwnCommand { args, argv, max_bytes } = own;
    let mut parameters = args.schema();
    parameters["additionalProperties"] = json!(false);
    let (args, argv, gate) = (Arc::new(args), Arc::new(argv), gate.clone());
    let run = step(move |given: Value, cx: Context| {
        let (args, argv, gate) = (args.clone(), argv.clone(), gate.clone());
        async move {
            let argv = words(&argv, &args, given)?;
            run_command(argv, max_bytes, &gate, &cx).await
        }
    });
    DynTool::from_schema(name, description, parameters, run).security(Privilege::Privileged)
}

/// The words of the command for one call.
fn words(argv: &[Template], args: &Inputs, given: Value) -> Result<Vec<String>> {
    if let Some(complaint) = args.mismatch(&given) {
        return Err(Error::bad_arguments(complaint));
    }
    let Value::Object(given) = given else { return Err(Error::bad_arguments("they are no table")) };
    let scope = minijinja::Value::from(Serde(json!({ "args": args.accept(given)? })));
    let word = |template: &Template| {
        Ok(match template.render(&scope)? {
            Value::String(word) => word,
            other => other.to_string(),
        })
    };
    argv.iter().map(word).collect()
}
