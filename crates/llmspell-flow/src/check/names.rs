//! Checks of the version, the name of the flow, and the ids of its steps.

use std::collections::BTreeSet;

use crate::ir::step::OUTPUT;
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::{FlowFile, StepDef, every_step};
use crate::syntax::located::Located;
use crate::syntax::source::Source;

/// Adds a problem for each invalid name.
pub(super) fn check(file: &FlowFile, source: &Source, problems: &mut Vec<Diagnostic>) {
    let mut problem = |at: &std::ops::Range<usize>, message: String, hint: &str| {
        problems.push(source.diagnose(Some(at.clone()), message).with_hint(hint));
    };
    if let Some(version) = file.version.as_ref().filter(|version| version.value != 1) {
        let message = format!("unknown version {} of the format", version.value);
        problem(&version.at, message, "write version 1");
    }
    if !is_name(&file.flow.value, true) {
        let message = format!("invalid name `{}` of a flow", file.flow.value);
        problem(&file.flow.at, message, "use letters, digits, - and _, and begin with a letter");
    }
    if file.steps.value.is_empty() {
        problem(&file.steps.at, "the flow has no steps".to_owned(), "add one: `- id: …` and `tool: …`");
    }
    if let Some((at, depth)) = deepest(&file.steps.value).filter(|(_, depth)| *depth > MAX_NESTING) {
        let message = format!("steps nested {depth} deep");
        problem(&at, message, "nest at most 8 deep: write several steps, one after another");
    }
    let mut seen = BTreeSet::new();
    for id in ids(&file.steps.value) {
        if !is_name(&id.value, false) {
            let message = format!("invalid id `{}` of a step", id.value);
            let hint = "use letters, digits and _, and begin with a letter, so that templates can name it";
            problem(&id.at, message, hint);
        } else if id.value == OUTPUT {
            let message = "invalid id `output` of a step".to_owned();
            let hint = "use another id: in errors and reports, `output` is the output of the flow";
            problem(&id.at, message, hint);
        } else if !seen.insert(id.value.as_str()) {
            let message = format!("there is already a step `{}`", id.value);
            problem(&id.at, message, "give each step its own id, at every depth");
        }
    }
}

/// The maximum depth of nested steps: the stack of a thread suffices for it, whatever modifiers the steps have.
const MAX_NESTING: usize = 8;

/// Returns the position and the depth of the deepest step.
fn deepest(steps: &[Located<StepDef>]) -> Option<(std::ops::Range<usize>, usize)> {
    let depths = steps.iter().map(|step| {
        let inner = step.value.inner().into_iter().filter_map(deepest).max_by_key(|(_, depth)| *depth);
        let (at, depth) = inner.unwrap_or((step.at.clone(), 0));
        (if at.is_empty() { step.at.start..step.at.start + 1 } else { at }, depth + 1)
    });
    depths.max_by_key(|(_, depth)| *depth)
}

/// Returns the ids of all steps at every depth, in the order of the file.
pub(crate) fn ids(steps: &[Located<StepDef>]) -> Vec<&Located<String>> {
    every_step(steps).into_iter().filter_map(|step| step.id.as_ref()).collect()
}

/// Returns whether a name is valid in a path, and without `dashes` also in a template.
pub(super) fn is_name(name: &str, dashes: bool) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || dashes && c == '-')
}
