//! Inputs that nothing uses.

use super::{Rule, Subject, Warnings};

pub(super) const RULE: Rule =
    Rule { id: "unused-input", explanation: "The flow declares an input that no template uses." };

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    let file = subject.file;
    let key = file.key.as_ref().map(|key| key.value.as_str());
    for (name, _) in file.inputs.iter().flat_map(|inputs| &inputs.0) {
        if key != Some(&name.value) && !subject.used.has_input(&name.value) {
            let hint = format!("use it as `inputs.{}`, or leave it out: records may have more fields", name.value);
            warnings.push(&name.at, format!("nothing uses the input `{}`", name.value), hint);
        }
    }
}
