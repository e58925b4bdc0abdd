//! The steps of a checked flow: their work, their modifiers, and their dependencies.

use std::ops::Range;
use std::sync::Arc;

use llmspell::tool::{DynTool, Privilege};
use serde_json::Value;

use super::agent::CheckedAgent;
use super::repeatability::Repeatability;
use crate::ir::fingerprint::Fingerprint;
use crate::ir::shape::Shape;
use crate::syntax::file::{FirstDef, Modifiers};
use crate::template::{Formula, Template};

/// The name of the flow's output in paths.
pub(crate) const OUTPUT: &str = "output";

/// A checked step, with everything known about it before the first record.
pub(crate) struct Step {
    /// The name, unique among its siblings.
    pub(crate) id: Arc<str>,
    /// The path in the flow, such as `pages.fetch`.
    pub(crate) path: Arc<str>,
    /// The position in the file.
    pub(crate) at: Range<usize>,
    pub(crate) kind: StepKind,
    /// The condition under which the step runs.
    pub(crate) when: Option<Formula>,
    pub(crate) modifiers: Modifiers,
    /// The fallbacks, tried in this order.
    pub(crate) fallback: Vec<Step>,
    /// The fingerprint of everything that the output depends on, except the record.
    pub(crate) fingerprint: Fingerprint,
    /// The fingerprint without the fallbacks.
    pub(crate) without_fallback: Fingerprint,
    /// The shape of the output, as far as it is known.
    pub(crate) shape: Shape,
}

/// The work of a step.
pub(crate) enum StepKind {
    Tool {
        tool: DynTool,
        /// The definition, if the flow declares the tool; otherwise null.
        definition: Value,
        arguments: Vec<(String, Template)>,
        /// Whether the tool only computes from its arguments.
        is_pure: bool,
        /// The effect of calling the tool twice for one record.
        repeatability: Repeatability,
        /// The shape of the output, as far as it is known.
        shape: Shape,
    },
    Value(Template),
    Agent(Box<CheckedAgent>),
    Concurrent {
        branches: Vec<Step>,
        limit: Option<usize>,
        skip: bool,
    },
    Race {
        contenders: Vec<Step>,
        first: FirstDef,
    },
    Pipeline(Vec<Step>),
    /// `each`, and `pipeline` with `from`.
    Items {
        list: Formula,
        steps: Vec<Step>,
        limit: usize,
        skip: bool,
    },
    Repeat {
        steps: Vec<Step>,
        until: Formula,
        max: u32,
    },
}

/// The default limit on the items of one record in flight.
pub(crate) const DEFAULT_ITEM_LIMIT: usize = 16;

impl StepKind {
    /// Returns the inner steps, without fallbacks.
    pub(crate) fn inner(&self) -> &[Step] {
        match self {
            StepKind::Tool { .. } | StepKind::Value(_) | StepKind::Agent(_) => &[],
            StepKind::Concurrent { branches: steps, .. }
            | StepKind::Race { contenders: steps, .. }
            | StepKind::Pipeline(steps)
            | StepKind::Items { steps, .. }
            | StepKind::Repeat { steps, .. } => steps,
        }
    }

    /// Returns the privilege that the step itself needs. An agent is at least restricted, because it calls its model.
    pub(crate) fn security(&self) -> Privilege {
        match self {
            StepKind::Tool { tool, .. } => tool.spec().security,
            StepKind::Agent(agent) => {
                let tools = agent.tools.iter().map(|tool| tool.spec().security);
                tools.fold(Privilege::Restricted, Privilege::max)
            }
            _ => Privilege::Safe,
        }
    }

    /// Returns the first tool in it that is not known to be safe to call twice at the same time for one record.
    pub(crate) fn unrepeatable_tool(&self) -> Option<&str> {
        match self {
            StepKind::Tool { tool, repeatability, .. } => {
                (*repeatability != Repeatability::Safe).then_some(tool.spec().name.as_str())
            }
            StepKind::Agent(agent) => agent.unrepeatable_tool.as_deref(),
            _ => self.find_in_steps(StepKind::unrepeatable_tool),
        }
    }

    /// Returns the first tool in it that is known to repeat its effect when it is called again for one record.
    pub(crate) fn unsafe_tool(&self) -> Option<&str> {
        match self {
            StepKind::Tool { tool, repeatability, .. } => {
                (*repeatability == Repeatability::Unsafe).then_some(tool.spec().name.as_str())
            }
            StepKind::Agent(agent) => agent.unsafe_tool.as_deref(),
            _ => self.find_in_steps(StepKind::unsafe_tool),
        }
    }

    /// Searches the inner steps and their fallbacks, except those marked as idempotent.
    fn find_in_steps(&self, find: fn(&StepKind) -> Option<&str>) -> Option<&str> {
        self.inner().iter().find_map(|step| step.find(find))
    }

    /// Returns the key in the file.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            StepKind::Tool { .. } => "tool",
            StepKind::Value(_) => "value",
            StepKind::Agent(_) => "agent",
            StepKind::Concurrent { .. } => "concurrent",
            StepKind::Race { .. } => "race",
            StepKind::Pipeline(_) => "pipeline",
            StepKind::Items { .. } => "each",
            StepKind::Repeat { .. } => "repeat",
        }
    }
}

impl Step {
    fn find(&self, find: fn(&StepKind) -> Option<&str>) -> Option<&str> {
        if self.modifiers.idempotent {
            return None;
        }
        find(&self.kind).or_else(|| self.fallback.iter().find_map(|fallback| fallback.find(find)))
    }

    /// Returns this step, all steps in it, and their fallbacks, outermost first.
    pub(crate) fn all(&self) -> Vec<&Step> {
        let mut all = vec![self];
        for step in self.kind.inner().iter().chain(&self.fallback) {
            all.extend(step.all());
        }
        all
    }

    /// Returns whether the output follows from the record alone and is free to recompute.
    pub(crate) fn is_pure(&self) -> bool {
        let itself = match &self.kind {
            StepKind::Tool { is_pure, .. } => *is_pure,
            StepKind::Agent(_) => false,
            _ => true,
        };
        itself && self.kind.inner().iter().chain(&self.fallback).all(Step::is_pure)
    }

    /// Returns whether a run must journal the output: recomputing it is not free, or could give another result.
    pub(crate) fn is_journaled(&self) -> bool {
        let decides = match &self.kind {
            StepKind::Tool { .. } | StepKind::Agent(_) | StepKind::Race { .. } => true,
            StepKind::Concurrent { skip, .. } | StepKind::Items { skip, .. } => *skip,
            StepKind::Value(_) | StepKind::Pipeline(_) | StepKind::Repeat { .. } => false,
        };
        !self.is_pure() && (decides || !self.fallback.is_empty() || self.modifiers.hedge.is_some())
    }
}
