//! Models that no agent names.

use std::collections::BTreeSet;

use super::{Rule, Subject, Warnings};

pub(super) const RULE: Rule =
    Rule { id: "unused-model", explanation: "The flow declares a model that no agent names." };

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    let file = subject.file;
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for step in subject.definitions() {
        let agents = step.agent.iter();
        named.extend(agents.filter_map(|agent| agent.value.model.as_ref()).map(|model| model.value.as_str()));
    }
    named.extend(file.defaults.model.as_ref().map(|model| model.value.as_str()));
    for (name, _) in &file.models.0 {
        if !named.contains(name.value.as_str()) {
            let hint = format!("name it in an agent, `model: {}`, or leave it out", name.value);
            warnings.push(&name.at, format!("nothing uses the model `{}`", name.value), hint);
        }
    }
}
