//! Conditions that do not depend on the record.

use super::{Rule, Subject, Warnings};

pub(super) const RULE: Rule = Rule {
    id: "constant-when",
    explanation: "The `when` of a step has the same result for every record, so it has no effect.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    for step in subject.steps() {
        match step.when.as_ref().and_then(|when| when.always()) {
            Some(true) => {
                let message = format!("the `when` of `{}` holds for every record", step.id);
                let hint = "leave `when` out, or test the record: `inputs.lang == \"en\"`";
                warnings.push(&step.at, message, hint);
            }
            Some(false) => {
                let message = format!("the step `{}` never runs: its `when` holds for no record", step.id);
                warnings.push(&step.at, message, "leave the step out, or test the record in `when`");
            }
            None => {}
        }
    }
}
