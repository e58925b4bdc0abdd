//! Programs as tools of a flow's own, with arguments that are described.

use std::collections::BTreeMap;
use std::sync::Arc;

use llmspell::tool::{DynTool, Privilege};
use llmspell::{Context, Error, Result, step};
use minijinja::value::Serde;
use serde_json::{Value, json};

use super::{Command, one_mebibyte};
use crate::inputs::Inputs;
use crate::permission::Gate;
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
    let max_bytes = max_bytes.unwrap_or_else(one_mebibyte);
    let mut parameters = args.schema();
    parameters["additionalProperties"] = json!(false);
    let (args, argv, gate) = (Arc::new(args), Arc::new(argv), gate.clone());
    let run = step(move |given: Value, cx: Context| {
        let (args, argv, gate) = (args.clone(), argv.clone(), gate.clone());
        async move {
            let command =
                Command { argv: words(&argv, &args, given)?, stdin: None, cwd: None, env: BTreeMap::new(), max_bytes };
            let output = command.run(&gate, &cx).await?;
            serde_json::to_value(output).map_err(|error| Error::failed("the output is not JSON").with_source(error))
        }
    });
    DynTool::from_schema(name, description, parameters, run).security(Privilege::Privileged)
}

/// The words of the command for one call.
fn words(argv: &[Template], args: &Inputs, given: Value) -> Result<Vec<String>> {
    if let Some(complaint) = args.complaint(&given) {
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
