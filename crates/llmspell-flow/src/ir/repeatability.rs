//! Whether a step can be repeated for one record: by a retry after a timeout, or by the second copy of a hedge.

use super::step::{Step, StepKind};

/// The effect of calling a tool twice for one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeatability {
    /// Harmless, even for two calls at the same time.
    Safe,
    /// Harmless for one call after another. Nothing is known about two calls at the same time.
    Sequential,
    /// Depends on the record, or on a server that has not been asked.
    Unknown,
    /// The effect may happen twice.
    Unsafe,
}

/// Returns the first tool in a step that is not known to be safe to call twice at the same time for one record.
pub(crate) fn unrepeatable_tool(kind: &StepKind) -> Option<&str> {
    match kind {
        StepKind::Tool { tool, repeatability, .. } => {
            (*repeatability != Repeatability::Safe).then_some(tool.spec().name.as_str())
        }
        StepKind::Agent(agent) => agent.unrepeatable_tool.as_deref(),
        _ => within(kind, unrepeatable_tool),
    }
}

/// Returns the first tool in a step that is known to repeat its effect when it is called again for one record.
pub(crate) fn unsafe_tool(kind: &StepKind) -> Option<&str> {
    match kind {
        StepKind::Tool { tool, repeatability, .. } => {
            (*repeatability == Repeatability::Unsafe).then_some(tool.spec().name.as_str())
        }
        StepKind::Agent(agent) => agent.unsafe_tool.as_deref(),
        _ => within(kind, unsafe_tool),
    }
}

/// Searches the inner steps and their fallbacks.
fn within(kind: &StepKind, find: fn(&StepKind) -> Option<&str>) -> Option<&str> {
    kind.inner().iter().find_map(|step| of_step(step, find))
}

fn of_step(step: &Step, find: fn(&StepKind) -> Option<&str>) -> Option<&str> {
    if step.modifiers.idempotent {
        return None;
    }
    find(&step.kind).or_else(|| step.fallback.iter().find_map(|fallback| of_step(fallback, find)))
}
