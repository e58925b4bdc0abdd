//! What may be done twice for one record: by a retry after a timeout, or by the second copy of a hedge.

use super::step::{Planned, StepKind};

/// What comes of calling a tool twice for one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeatability {
    /// No harm.
    Safe,
    /// No harm one after the other, but nobody says so of two at once.
    Sequential,
    /// It depends on the record, or on what a server is not asked.
    Unknown,
    /// It may be done twice.
    Unsafe,
}

/// A tool in it that must not be called twice at once for one record, if there is one.
pub(crate) fn unrepeatable(kind: &StepKind) -> Option<&str> {
    match kind {
        StepKind::Tool { tool, repeatability, .. } => {
            (*repeatability != Repeatability::Safe).then_some(tool.spec().name.as_str())
        }
        StepKind::Agent(agent) => agent.unrepeatable.as_deref(),
        _ => within(kind, unrepeatable),
    }
}

/// A tool in it that is known to do its work twice, if it is called again for one record.
pub(crate) fn harmful(kind: &StepKind) -> Option<&str> {
    match kind {
        StepKind::Tool { tool, repeatability, .. } => {
            (*repeatability == Repeatability::Unsafe).then_some(tool.spec().name.as_str())
        }
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
