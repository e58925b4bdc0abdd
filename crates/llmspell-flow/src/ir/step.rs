//! A flow that has been understood: what its steps do, how they are run, and what they depend on.

use std::ops::Range;
use std::sync::Arc;

use llmspell::tool::{DynTool, Privilege};
use serde_json::Value;

use super::agent::AgentPlan;
use super::repeatability::Repeatability;
use crate::ir::fingerprint::Fingerprint;
use crate::ir::shape::Shape;
use crate::syntax::file::{FirstDef, Modifiers};
use crate::template::{Expr, Template};

/// The name under which the output of the flow stands in paths.
pub(crate) const OUTPUT: &str = "output";

/// A step with everything that can be known of it before a record is there.
pub(crate) struct Planned {
    /// Its name among its neighbours.
    pub(crate) id: Arc<str>,
    /// Where it stands in the flow, such as `pages.fetch`.
    pub(crate) path: Arc<str>,
    /// Where it stands in the file.
    pub(crate) at: Range<usize>,
    pub(crate) kind: StepKind,
    /// Whether it runs at all.
    pub(crate) when: Option<Expr>,
    pub(crate) modifiers: Modifiers,
    /// What stands in for it, one for the other.
    pub(crate) fallback: Vec<Planned>,
    /// What its output depends on besides the record.
    pub(crate) fingerprint: Fingerprint,
    /// The same without what stands in for it.
    pub(crate) without_fallback: Fingerprint,
    /// What its output looks like, as far as that is known.
    pub(crate) shape: Shape,
}

/// What a step does.
pub(crate) enum StepKind {
    Tool {
        tool: DynTool,
        /// What it consists of, if it is the flow's own; null otherwise.
        essence: Value,
        arguments: Vec<(String, Template)>,
        /// Whether it only computes from its arguments.
        is_pure: bool,
        /// What comes of calling it twice for one record.
        repeatability: Repeatability,
        /// What it gives, as far as that is known.
        shape: Shape,
    },
    Value(Template),
    Agent(Box<AgentPlan>),
    Concurrent {
        branches: Vec<Planned>,
        limit: Option<usize>,
        skip: bool,
    },
    Race {
        contenders: Vec<Planned>,
        first: FirstDef,
    },
    Pipeline(Vec<Planned>),
    /// `each`, and `pipeline` with `from`.
    Items {
        list: Expr,
        steps: Vec<Planned>,
        limit: usize,
        skip: bool,
    },
    Repeat {
        steps: Vec<Planned>,
        until: Expr,
        max: u32,
    },
}

/// How many items of a list are on their way at once, if the file does not say.
pub(crate) const ITEMS_AT_ONCE: usize = 16;

impl StepKind {
    /// The steps inside.
    pub(crate) fn inner(&self) -> &[Planned] {
        match self {
            StepKind::Tool { .. } | StepKind::Value(_) | StepKind::Agent(_) => &[],
            StepKind::Concurrent { branches: steps, .. }
            | StepKind::Race { contenders: steps, .. }
            | StepKind::Pipeline(steps)
            | StepKind::Items { steps, .. }
            | StepKind::Repeat { steps, .. } => steps,
        }
    }

    /// What it may do itself. An agent talks to its model.
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

    /// Its key in the file.
    pub(crate) fn word(&self) -> &'static str {
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

impl Planned {
    /// This step and all inside of it, its fallbacks included, outermost first.
    pub(crate) fn all(&self) -> Vec<&Planned> {
        let mut all = vec![self];
        for step in self.kind.inner().iter().chain(&self.fallback) {
            all.extend(step.all());
        }
        all
    }

    /// Whether its output follows from the record alone, and costs nothing to have again.
    pub(crate) fn is_pure(&self) -> bool {
        let itself = match &self.kind {
            StepKind::Tool { is_pure, .. } => *is_pure,
            StepKind::Agent(_) => false,
            _ => true,
        };
        itself && self.kind.inner().iter().chain(&self.fallback).all(Planned::is_pure)
    }

    /// Whether a run has to remember its output: it is not free to have again, or would not come out the same.
    pub(crate) fn is_kept(&self) -> bool {
        let decides = match &self.kind {
            StepKind::Tool { .. } | StepKind::Agent(_) | StepKind::Race { .. } => true,
            StepKind::Concurrent { skip, .. } | StepKind::Items { skip, .. } => *skip,
            StepKind::Value(_) | StepKind::Pipeline(_) | StepKind::Repeat { .. } => false,
        };
        !self.is_pure() && (decides || !self.fallback.is_empty() || self.modifiers.hedge.is_some())
    }
}
