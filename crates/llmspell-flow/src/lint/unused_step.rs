//! Steps that only compute, and whose output nothing uses.

use llmspell::tool::Privilege;

use super::{Rule, Subject, Warnings};
use crate::ir::step::StepKind;

pub(super) const RULE: Rule = Rule {
    id: "unused-step",
    explanation: "A step only computes, and neither a later step nor the output of the flow uses its output.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    let mut lists = vec![(subject.steps, subject.file.output.is_some())];
    while let Some((steps, whole)) = lists.pop() {
        let last = steps.len().saturating_sub(usize::from(!whole));
        for (index, step) in steps.iter().enumerate() {
            lists.push(match &step.kind {
                StepKind::Concurrent { .. } | StepKind::Race { .. } => (&[], true),
                kind => (kind.inner(), false),
            });
            let computes = match &step.kind {
                StepKind::Tool { tool, .. } => tool.spec().security == Privilege::Safe,
                StepKind::Value(_) => true,
                // An unused answer also costs something.
                StepKind::Agent(agent) => agent.tools.is_empty(),
                _ => false,
            };
            if index < last && computes && !subject.used.has_step(&step.id) {
                let message = format!("nothing uses the output of the step `{}`", step.id);
                let hint = format!("use it as `steps.{}`, or leave the step out", step.id);
                warnings.push(&step.at, message, hint);
            }
        }
    }
}
