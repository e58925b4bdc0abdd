//! What may be done twice for one record: by a retry after a timeout, or by the second copy of a hedge.

use llmspell::Step;
use llmspell::tool::Privilege;

use super::own::Named;
use super::{Checker, Warn};
use crate::diagnostic::Diagnostic;
use crate::file::{DefaultsDef, RetryOn};
use crate::plan::{Planned, StepKind};
use crate::source::Source;
use crate::template::Template;

/// What comes of calling a tool twice for one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twice {
    /// No harm.
    Harmless,
    /// No harm one after the other, but nobody says so of two at once.
    InTurn,
    /// It depends on the record, or on what a server is not asked.
    Unknown,
    /// It may be done twice.
    Done,
}

impl Checker<'_> {
    /// What comes of calling a tool twice with these arguments.
    pub(super) fn twice(&self, name: &str, tool: &Named, arguments: &[(String, Template)]) -> Twice {
        if tool.is_pure || tool.tool.clone().into_step().info().idempotent {
            return Twice::Harmless;
        }
        let is_own = !tool.essence.is_null();
        if !is_own && self.toolbox.is_built_in(name) {
            return built_in(name, arguments);
        }
        // Nothing is known of the tools of a server that is not connected.
        match tool.tool.spec().security {
            Privilege::Privileged if is_own || self.toolbox.get(name).is_some() => Twice::Done,
            _ => Twice::Unknown,
        }
    }
}

fn built_in(name: &str, arguments: &[(String, Template)]) -> Twice {
    let given = |name: &str| arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value);
    let text = |name: &str| given(name).map(|value| value.literal().and_then(|value| value.as_str()));
    match name {
        "http_request" => {
            let said = given("idempotent").map(|value| value.literal().and_then(|value| value.as_bool()));
            let keyed = given("headers").is_some_and(|headers| headers.has_key("idempotency-key"));
            match (said, text("method")) {
                (Some(Some(true)), _) => Twice::Harmless,
                (Some(None), _) => Twice::Unknown,
                (Some(Some(false)), _) => Twice::Done,
                (None, Some(Some("POST" | "PATCH"))) if !keyed => Twice::Done,
                (None, Some(Some(_))) => Twice::Harmless,
                (None, _) => Twice::Unknown,
            }
        }
        "write_file" => match text("mode") {
            None | Some(Some("overwrite")) => Twice::InTurn,
            Some(None) => Twice::Unknown,
            Some(Some(_)) => Twice::Done,
        },
        _ => Twice::Done,
    }
}

/// A tool in it that must not be called twice at once for one record, if there is one.
pub(crate) fn unrepeatable(kind: &StepKind) -> Option<&str> {
    match kind {
        StepKind::Tool { tool, twice, .. } => (*twice != Twice::Harmless).then_some(tool.spec().name.as_str()),
        StepKind::Agent(agent) => agent.unrepeatable.as_deref(),
        _ => within(kind, unrepeatable),
    }
}

/// A tool in it that is known to do its work twice, if it is called again for one record.
fn harmful(kind: &StepKind) -> Option<&str> {
    match kind {
        StepKind::Tool { tool, twice, .. } => (*twice == Twice::Done).then_some(tool.spec().name.as_str()),
        StepKind::Agent(agent) => agent.harmful.as_deref(),
        _ => within(kind, harmful),
    }
}

/// The same of the steps inside, and of what stands in for them.
fn within(kind: &StepKind, find: fn(&StepKind) -> Option<&str>) -> Option<&str> {
    kind.inner().iter().find_map(|step| of_step(step, find))
}

fn of_step(step: &Planned, find: fn(&StepKind) -> Option<&str>) -> Option<&str> {
    if step.modifiers.idempotent {
        return None;
    }
    find(&step.kind).or_else(|| step.fallback.iter().find_map(|rung| of_step(rung, find)))
}

/// Warns of retries that may do again what has been done.
pub(super) fn retries(steps: &[Planned], defaults: &DefaultsDef, source: &Source, warnings: &mut Vec<Diagnostic>) {
    let mut warn = |at: &std::ops::Range<usize>, message: String, hint: String| {
        warnings.push(source.diagnose(Some(at.clone()), message).warning().with_hint(hint));
    };
    steps.iter().flat_map(Planned::all).for_each(|step| retry(step, defaults, &mut warn));
}

fn retry(step: &Planned, defaults: &DefaultsDef, warn: &mut Warn<'_>) {
    let modifiers = &step.modifiers;
    let Some(retry) = modifiers.retry.as_ref().filter(|retry| retry.value.0.max > 1 && !modifiers.idempotent) else {
        return;
    };
    let Some(tool) = harmful(&step.kind) else { return };
    // What stands under `defaults` is no place to mend a single step.
    let is_default = defaults.retry.as_ref().is_some_and(|default| default.at == retry.at);
    let at = if is_default { &step.at } else { &retry.at };
    if !matches!(step.kind, StepKind::Tool { .. }) {
        let message = format!("`{}` is tried again as a whole, and `{tool}` in it may do its work twice", step.id);
        let hint = "give `retry` to the steps that may be repeated; if all may, say so: `idempotent: true`";
        warn(at, message, hint.to_owned());
        return;
    }
    let on = retry.value.0.on.as_deref().unwrap_or(&[RetryOn::Transient]);
    let after_timeout =
        modifiers.timeout.is_some() && on.iter().any(|on| matches!(on, RetryOn::Transient | RetryOn::Timeout));
    let when = match (after_timeout, on.iter().any(|on| matches!(on, RetryOn::Failed | RetryOn::Panicked))) {
        (true, _) => "when its time is up",
        (false, true) => "when it has failed",
        (false, false) => return,
    };
    let message = format!("`{tool}` may have done its work {when}, and is then called again");
    let hint = match tool {
        "http_request" => {
            "if that does no harm, say so: `idempotent: true` under `with`, or a header idempotency-key; otherwise leave `retry` out"
        }
        "write_file" => {
            "if that does no harm, say so: `idempotent: true` beside `retry`; `mode: overwrite` can be repeated"
        }
        _ => "if that does no harm, say so: `idempotent: true` beside `retry`; otherwise leave `retry` out",
    };
    warn(at, message, hint.to_owned());
}
