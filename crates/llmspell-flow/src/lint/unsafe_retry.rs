//! Retries that may repeat an effect.

use super::{Rule, Subject, Warnings};
use crate::ir::step::{Step, StepKind};
use crate::syntax::file::{DefaultsDef, RetryOn};

pub(super) const RULE: Rule = Rule {
    id: "unsafe-retry",
    explanation: "A retry may repeat a call whose effect must not happen twice, such as a POST that has timed out.",
};

pub(super) fn check(subject: &Subject<'_>, warnings: &mut Warnings<'_>) {
    subject.steps().for_each(|step| retry(step, &subject.file.defaults, warnings));
}

fn retry(step: &Step, defaults: &DefaultsDef, warnings: &mut Warnings<'_>) {
    let modifiers = &step.modifiers;
    let Some(retry) = modifiers.retry.as_ref().filter(|retry| retry.value.0.max > 1 && !modifiers.idempotent) else {
        return;
    };
    let Some(tool) = step.kind.unsafe_tool() else { return };
    // A single step is not corrected under `defaults`, so the warning points at the step.
    let is_default = defaults.retry.as_ref().is_some_and(|default| default.at == retry.at);
    let at = if is_default { &step.at } else { &retry.at };
    if !matches!(step.kind, StepKind::Tool { .. }) {
        let message = format!("`{}` is retried as a whole, and `{tool}` in it may repeat its effect", step.id);
        let hint = "set `retry` on the steps that may be repeated; if all may, state it: `idempotent: true`";
        warnings.push(at, message, hint);
        return;
    }
    let on = retry.value.0.on.as_deref().unwrap_or(&[RetryOn::Transient]);
    let after_timeout =
        modifiers.timeout.is_some() && on.iter().any(|on| matches!(on, RetryOn::Transient | RetryOn::Timeout));
    let when = match (after_timeout, on.iter().any(|on| matches!(on, RetryOn::Failed | RetryOn::Panicked))) {
        (true, _) => "before it times out",
        (false, true) => "before it fails",
        (false, false) => return,
    };
    let message = format!("`{tool}` may take effect {when}, and is then called again");
    let hint = match tool {
        "http_request" => {
            "if that is harmless, state it: `idempotent: true` under `with`, or a header idempotency-key; otherwise leave `retry` out"
        }
        "write_file" => {
            "if that is harmless, state it: `idempotent: true` beside `retry`; `mode: overwrite` can be repeated"
        }
        _ => "if that is harmless, state it: `idempotent: true` beside `retry`; otherwise leave `retry` out",
    };
    warnings.push(at, message, hint);
}
