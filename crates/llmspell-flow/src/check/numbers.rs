//! Numbers that YAML has changed: `1.10` is `1.1` to it.

use crate::diagnostic::Diagnostic;
use crate::entries::Entries;
use crate::file::{FlowFile, InputDef, StepDef};
use crate::located::Located;
use crate::node::Node;
use crate::source::Source;

/// Warns of each number that is not what was written.
pub(super) fn changed(file: &FlowFile, source: &Source, warnings: &mut Vec<Diagnostic>) {
    let mut found = Vec::new();
    steps(&file.steps.value, &mut found);
    let own = file.tools.0.iter().filter_map(|(_, tool)| tool.value.args.as_ref());
    let fields = file.inputs.iter().chain(&file.returns).chain(own);
    found.extend(fields.flat_map(defaults));
    found.extend(file.models.0.iter().flat_map(|(_, model)| model.value.0.options.0.iter().map(|(_, value)| value)));
    found.extend(file.run.0.iter().map(|(_, value)| value));
    found.extend(&file.output);
    for node in found {
        walk(node, source, warnings);
    }
}

/// What stands in for fields that are missing.
fn defaults(fields: &Entries<InputDef>) -> impl Iterator<Item = &Located<Node>> {
    fields.0.iter().filter_map(|(_, field)| field.value.default.as_ref())
}

fn steps<'a>(list: &'a [Located<StepDef>], found: &mut Vec<&'a Located<Node>>) {
    for step in list {
        let step = &step.value;
        found.extend(step.with.iter().flat_map(|with| with.value.0.iter().map(|(_, value)| value)));
        found.extend(&step.value);
        found.extend(step.agent.iter().filter_map(|agent| agent.value.answer.as_ref()).flat_map(defaults));
        step.inner().into_iter().for_each(|list| steps(list, found));
    }
}

fn walk(node: &Located<Node>, source: &Source, warnings: &mut Vec<Diagnostic>) {
    match &node.value {
        Node::Plain(serde_json::Value::Number(number)) => {
            let written = source.text().get(node.at.clone()).unwrap_or_default().trim();
            // The place may reach further than the number.
            let written = written.split(|c: char| c.is_whitespace() || ",]}#".contains(c)).next().unwrap_or_default();
            if !written.is_empty() && written.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
                let read = number.to_string();
                if written != read && format!("{written}.0") != read {
                    let problem = source.diagnose(Some(node.at.clone()), format!("`{written}` is the number {read}"));
                    let hint = format!("write \"{written}\" if a text is meant, or {read} if it is the number");
                    warnings.push(problem.warning().with_hint(hint));
                }
            }
        }
        Node::List(items) => items.iter().for_each(|item| walk(item, source, warnings)),
        Node::Map(entries) => entries.0.iter().for_each(|(_, value)| walk(value, source, warnings)),
        Node::Plain(_) | Node::Text(_) => {}
    }
}
