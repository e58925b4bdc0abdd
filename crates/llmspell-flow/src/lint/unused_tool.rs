//! Tools that no step and no agent names.

use std::collections::BTreeSet;

use super::{Rule, Subject, Warnings};

pub(super) const RULE: Rule = Rule {
    id: "unused-tool",
    explanation: "The flow declares a program or a server under `tools` that no step and no agent names.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    let file = subject.file;
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for step in subject.definitions() {
        named.extend(step.tool.as_ref().map(|tool| tool.value.as_str()));
        let agents = step.agent.iter();
        named.extend(agents.flat_map(|agent| &agent.value.tools).map(|tool| tool.value.as_str()));
    }
    for (name, _) in &file.tools.0 {
        let of_server = format!("{}.", name.value);
        if !named.iter().any(|tool| *tool == name.value || tool.starts_with(&of_server)) {
            let hint = "name it in a step or an agent, or leave it out".to_owned();
            warnings.push(&name.at, format!("nothing uses the tool `{}`", name.value), hint);
        }
    }
}
