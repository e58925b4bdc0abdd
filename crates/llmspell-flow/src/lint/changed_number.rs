//! Numbers that YAML changes: it reads `1.10` as `1.1`, and `0x10` as 16.

use super::{Rule, Subject, Warnings};
use crate::syntax::file::{InputDef, InputType, StepDef};
use crate::syntax::located::Located;
use crate::syntax::mapping::Mapping;
use crate::syntax::node::Node;
use crate::syntax::source::Source;

pub(super) const RULE: Rule = Rule {
    id: "changed-number",
    explanation: "YAML changes the text of a number: it reads `1.10` as `1.1`, and `0x10` as 16.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    let file = subject.file;
    let mut found = NumberSites::default();
    steps(&file.steps.value, &mut found);
    let own = file.tools.0.iter().filter_map(|(_, tool)| tool.value.args.as_ref());
    let fields = file.inputs.iter().chain(&file.returns).chain(own);
    fields.for_each(|fields| found.defaults(fields));
    let options = file.models.0.iter().flat_map(|(_, model)| model.value.0.options.0.iter());
    found.numbers.extend(options.chain(&file.run.0).map(|(_, value)| value));
    found.values.extend(&file.output);
    for (nodes, is_number) in [(found.values, false), (found.numbers, true)] {
        nodes.into_iter().for_each(|node| walk(node, is_number, subject.source, warnings));
    }
}

/// The values in which numbers are searched.
#[derive(Default)]
struct NumberSites<'a> {
    /// Values that may be meant as texts, such as a version.
    values: Vec<&'a Located<Node>>,
    /// Values that must be numbers, such as `budget: 2.50`.
    numbers: Vec<&'a Located<Node>>,
}

impl<'a> NumberSites<'a> {
    /// Adds the defaults of fields.
    fn defaults(&mut self, fields: &'a Mapping<InputDef>) {
        for (_, field) in &fields.0 {
            let to = match field.value.kind {
                Some(InputType::Number | InputType::Integer) => &mut self.numbers,
                _ => &mut self.values,
            };
            to.extend(&field.value.default);
        }
    }
}

fn steps<'a>(list: &'a [Located<StepDef>], found: &mut NumberSites<'a>) {
    for step in list {
        let step = &step.value;
        found.values.extend(step.with.iter().flat_map(|with| with.value.0.iter().map(|(_, value)| value)));
        found.values.extend(&step.value);
        step.agent.iter().filter_map(|agent| agent.value.answer.as_ref()).for_each(|answer| found.defaults(answer));
        step.inner().into_iter().for_each(|list| steps(list, found));
    }
}

/// `is_number` is true for values that cannot be meant as texts: there `2.50` equals `2.5`.
fn walk(node: &Located<Node>, is_number: bool, source: &Source, warnings: &mut Warnings<'_>) {
    match &node.value {
        Node::Plain(serde_json::Value::Number(number)) => {
            let written = source.text().get(node.at.clone()).unwrap_or_default().trim();
            // The range may be longer than the number.
            let written = written.split(|c: char| c.is_whitespace() || ",]}#".contains(c)).next().unwrap_or_default();
            if !written.is_empty() && written.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
                let read = number.to_string();
                let is_reported = !is_number || has_another_base(written) || written.contains('_');
                if is_reported && written != read && format!("{written}.0") != read {
                    let message = format!("YAML reads `{written}` as the number {read}");
                    let hint = format!("write \"{written}\" for the text, or {read} for the number");
                    warnings.push(&node.at, message, hint);
                }
            }
        }
        Node::List(items) => items.iter().for_each(|item| walk(item, is_number, source, warnings)),
        Node::Map(entries) => entries.0.iter().for_each(|(_, value)| walk(value, is_number, source, warnings)),
        Node::Plain(_) | Node::Text(_) => {}
    }
}

/// Returns whether a number is octal, hexadecimal or binary, or looks like it: `010` is 8 in C, and 10 in YAML.
fn has_another_base(written: &str) -> bool {
    let digits = written.trim_start_matches(['+', '-']);
    let mut rest = digits.chars();
    rest.next() == Some('0') && rest.next().is_some_and(|second| second.is_ascii_digit() || "xXoObB".contains(second))
}
