//! The names in a file: its version, its own name, the ids of its steps.

use std::collections::BTreeSet;

use crate::ir::step::OUTPUT;
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::file::{FlowFile, StepDef, every_step};
use crate::syntax::located::Located;
use crate::syntax::source::Source;

/// Notes what is wrong with them.
pub(super) fn check(file: &FlowFile, source: &Source, problems: &mut Vec<Diagnostic>) {
    let mut problem = |at: &std::ops::Range<usize>, message: String, hint: &str| {
        problems.push(source.diagnose(Some(at.clone()), message).with_hint(hint));
    };
    if let Some(version) = file.version.as_ref().filter(|version| version.value != 1) {
        let message = format!("version {} of the format is not known", version.value);
        problem(&version.at, message, "this program knows version 1");
    }
    if !is_name(&file.flow.value, true) {
        let message = format!("`{}` cannot be the name of a flow", file.flow.value);
        problem(&file.flow.at, message, "use letters, digits, - and _, and begin with a letter");
    }
    if file.steps.value.is_empty() {
        problem(&file.steps.at, "the flow has no steps".to_owned(), "add one: `- id: …` and `tool: …`");
    }
    if let Some((at, depth)) = deepest(&file.steps.value).filter(|(_, depth)| *depth > MOST_NESTED) {
        let message = format!("steps nested {depth} deep");
        problem(&at, message, "the most is 8: make several steps of it, one after another");
    }
    let mut seen = BTreeSet::new();
    for id in ids(&file.steps.value) {
        if !is_name(&id.value, false) {
            let message = format!("`{}` cannot be the id of a step", id.value);
            let hint = "use letters, digits and _, and begin with a letter, so that templates can name it";
            problem(&id.at, message, hint);
        } else if id.value == OUTPUT {
            let message = "`output` cannot be the id of a step".to_owned();
            let hint = "in errors and reports it names the `output` of the flow; take another id";
            problem(&id.at, message, hint);
        } else if !seen.insert(id.value.as_str()) {
            let message = format!("there is a step `{}` already", id.value);
            problem(&id.at, message, "give each step its own id, also those inside of others");
        }
    }
}

/// How deep steps may stand in steps: as deep as a thread has stack for, whatever modifiers they have.
const MOST_NESTED: usize = 8;

/// The step that stands deepest, and how deep.
fn deepest(steps: &[Located<StepDef>]) -> Option<(std::ops::Range<usize>, usize)> {
    let depths = steps.iter().map(|step| {
        let inner = step.value.inner().into_iter().filter_map(deepest).max_by_key(|(_, depth)| *depth);
        let (at, depth) = inner.unwrap_or((step.at.clone(), 0));
        (if at.is_empty() { step.at.start..step.at.start + 1 } else { at }, depth + 1)
    });
    depths.max_by_key(|(_, depth)| *depth)
}

/// The ids of all steps, wherever they stand, in the order of the file.
pub(crate) fn ids(steps: &[Located<StepDef>]) -> Vec<&Located<String>> {
    every_step(steps).into_iter().filter_map(|step| step.id.as_ref()).collect()
}

/// Whether a name can stand in a path, and without `dashes` in a template.
pub(super) fn is_name(name: &str, dashes: bool) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || dashes && c == '-')
}
