//! The options under `run`: the defaults of a run of the flow.

use std::ops::Range;

use llmspell::internal::suggest;
use serde_json::Value;

use crate::syntax::diagnostic::{Diagnostic, Diagnostics};
use crate::syntax::file::RunDef;
use crate::syntax::source::Source;

/// The options of `llmspell run` that a flow may set. Permissions, output paths and display are left to the user.
pub const RUN_OPTIONS: [&str; 9] =
    ["limit", "rate", "deadline", "budget", "on_error", "unordered", "keep_going", "strict", "sample"];

/// An option that a flow sets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunOption {
    /// One of [`RUN_OPTIONS`].
    pub name: String,
    /// The value, in the notation of the command line.
    pub value: String,
    source: Source,
    at: Range<usize>,
}

impl RunOption {
    /// Returns a diagnostic at the position of the value.
    pub fn diagnose(&self, message: impl Into<String>) -> Diagnostic {
        self.source.diagnose(Some(self.at.clone()), message)
    }

    /// The name of the flow file.
    pub fn source(&self) -> &str {
        self.source.name()
    }
}

/// Reads the options. Their values are checked by the program that runs the flow, which knows the options.
pub(crate) fn read(file: &RunDef, source: &Source) -> Result<Vec<RunOption>, Diagnostics> {
    let (mut options, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in &file.0 {
        if !RUN_OPTIONS.contains(&name.value.as_str()) {
            let hint = suggest::hint(&name.value, RUN_OPTIONS, "a flow can set");
            let message = format!("unknown option `{}` of a run", name.value);
            problems.push(source.diagnose(Some(name.at.clone()), message).with_hint(hint));
            continue;
        }
        let (name, at) = (name.value.clone(), value.at.clone());
        match value.value.to_json() {
            Value::String(value) => options.push(RunOption { name, value, source: source.clone(), at }),
            value @ (Value::Bool(_) | Value::Number(_)) => {
                options.push(RunOption { name, value: value.to_string(), source: source.clone(), at });
            }
            _ => {
                let message = format!("`{name}` must be a text, a number, or true or false");
                problems.push(source.diagnose(Some(at), message).with_hint("see `llmspell help run`"));
            }
        }
    }
    Diagnostics::none_of(problems)?;
    Ok(options)
}
