//! Numbers that YAML has changed: `1.10` is `1.1` to it, and `0x10` is 16.

use super::{Rule, Subject, Warnings};
use crate::syntax::entries::Entries;
use crate::syntax::file::{InputDef, InputType, StepDef};
use crate::syntax::located::Located;
use crate::syntax::node::Node;
use crate::syntax::source::Source;

pub(super) const RULE: Rule = Rule {
    id: "changed-number",
    explanation: "YAML reads a number as another text than the one that was written: `1.10` as `1.1`, and `0x10` as 16.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    let file = subject.file;
    let mut found = Found::default();
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

/// Where numbers stand.
#[derive(Default)]
struct Found<'a> {
    /// What may be meant as a text, such as a version.
    values: Vec<&'a Located<Node>>,
    /// What a number is wanted for, such as `budget: 2.50`.
    numbers: Vec<&'a Located<Node>>,
}

impl<'a> Found<'a> {
    /// What stands in for fields that are missing.
    fn defaults(&mut self, fields: &'a Entries<InputDef>) {
        for (_, field) in &fields.0 {
            let to = match field.value.kind {
                Some(InputType::Number | InputType::Integer) => &mut self.numbers,
                _ => &mut self.values,
            };
            to.extend(&field.value.default);
        }
    }
}

fn steps<'a>(list: &'a [Located<StepDef>], found: &mut Found<'a>) {
    for step in list {
        let step = &step.value;
        found.values.extend(step.with.iter().flat_map(|with| with.value.0.iter().map(|(_, value)| value)));
        found.values.extend(&step.value);
        step.agent.iter().filter_map(|agent| agent.value.answer.as_ref()).for_each(|answer| found.defaults(answer));
        step.inner().into_iter().for_each(|list| steps(list, found));
    }
}

/// `is_number` where a text cannot be meant: there `2.50` is as good as `2.5`.
fn walk(node: &Located<Node>, is_number: bool, source: &Source, warnings: &mut Warnings<'_>) {
    match &node.value {
        Node::Plain(serde_json::Value::Number(number)) => {
            let written = source.text().get(node.at.clone()).unwrap_or_default().trim();
            // The place may reach further than the number.
            let written = written.split(|c: char| c.is_whitespace() || ",]}#".contains(c)).next().unwrap_or_default();
            if !written.is_empty() && written.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
                let read = number.to_string();
                let is_told = !is_number || has_another_base(written) || written.contains('_');
                if is_told && written != read && format!("{written}.0") != read {
                    let message = format!("`{written}` is the number {read}");
                    let hint = format!("write \"{written}\" if a text is meant, or {read} if it is the number");
                    warnings.push(&node.at, message, hint);
                }
            }
        }
        Node::List(items) => items.iter().for_each(|item| walk(item, is_number, source, warnings)),
        Node::Map(entries) => entries.0.iter().for_each(|(_, value)| walk(value, is_number, source, warnings)),
        Node::Plain(_) | Node::Text(_) => {}
    }
}

/// Whether a number is octal, hexadecimal or binary, or looks like it: `010` is 8 to some, and 10 to YAML.
fn has_another_base(written: &str) -> bool {
    let digits = written.trim_start_matches(['+', '-']);
    let mut rest = digits.chars();
    rest.next() == Some('0') && rest.next().is_some_and(|second| second.is_ascii_digit() || "xXoObB".contains(second))
}
