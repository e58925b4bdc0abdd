//! The execution plan of a flow: its steps, bounds on their calls, estimated cost, and bounds on time.
//!
//! A plan is computed from the checked flow, or from the records of an input. It must not call a tool or a model.

mod count;
mod estimate;
mod partial;
mod survey;
mod time;
mod tokens;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use count::Count;
pub use estimate::{Estimate, EstimatedUse, TokenPrices};
pub use survey::{InputSurvey, Surveyor};
pub use time::TimeBound;
pub use walk::AgentCalls;

use crate::flow::Flow;
use crate::ir::step::{Step, StepKind};
use crate::syntax::duration::format_duration;
use crate::syntax::file::After;
use partial::PartialRecord;
use walk::Walk;

/// The execution plan of a flow: everything known without running it. `llmspell plan --json` writes it as JSON.
///
/// ```
/// use llmspell_flow::{Flow, Source, Toolbox};
/// use llmspell_tools::Permissions;
///
/// let text = "
/// flow: f
/// allow: { net: [example.org] }
/// steps:
///   - id: fetch
///     tool: http_get
///     with: { url: \"${{ inputs.url }}\" }
///     timeout: 2s
///     retry: { max: 3, base: 1s }
/// ";
/// let flow = Flow::parse(&Source::new("f.yaml", text), &Toolbox::built_in(&Permissions::none()))?;
/// let plan = flow.plan();
/// assert_eq!(plan.calls["http_get"].fixed(), Some(3));
/// assert_eq!(plan.time.max().unwrap().as_secs(), 3 * 2 + 1 + 2); // attempts, and the waits between them
/// # Ok::<(), llmspell_flow::Diagnostics>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The name of the flow.
    pub flow: String,
    /// The description of the flow.
    pub description: Option<String>,
    /// The steps, as in the file.
    pub steps: Vec<PlanStep>,
    /// The maximum number of calls of each tool and each model for one record: attempts, second copies, turns, rounds
    /// and fallbacks together. Tools that only compute are left out, and so are the calls that models make.
    pub calls: BTreeMap<String, Count>,
    /// The calls that models may make. Their number has no bound.
    pub calls_by_agents: Vec<AgentCalls>,
    /// The estimated use of each model by one record, as far as it is known without the record.
    pub estimates: Vec<Estimate>,
    /// The bound on the time of one record, without waits for limits and rates.
    pub time: TimeBound,
    /// The permissions that the user must grant to run it, such as `--allow net=example.org`.
    pub permissions: Vec<String>,
    /// The environment variables with its secrets.
    pub secrets: Vec<String>,
    /// The declared models.
    pub models: Vec<String>,
    /// The declared MCP servers.
    pub servers: Vec<String>,
    /// The steps whose outputs are journaled. A resumed run does not repeat them.
    pub journaled: Vec<String>,
}

/// A step of an [`Plan`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PlanStep {
    /// The id, unique among its siblings.
    pub id: String,
    /// The path in the flow, such as `pages.fetch`.
    pub path: String,
    /// The kind: `tool`, `value`, `concurrent`, …
    pub kind: &'static str,
    /// The tool or model that it calls, or the list whose items it processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// The modifiers in the file, such as `limit 8` and `timeout 2s`.
    pub modifiers: Vec<String>,
    /// Whether a journal keeps the output.
    pub journaled: bool,
    /// The bound on the time for one record, without waits for limits and rates.
    pub time: TimeBound,
    /// The inner steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PlanStep>,
    /// The fallbacks, tried in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<PlanStep>,
}

impl Flow {
    /// Returns the execution plan. No tool and no model is called.
    pub fn plan(&self) -> Plan {
        let mut walk = Walk::new(self.checked_steps());
        walk.record(PartialRecord::nothing());
        let mut permissions: Vec<String> = self.missing_permissions().into_iter().collect();
        permissions.sort_unstable();
        Plan {
            flow: self.name().to_owned(),
            description: self.description().map(str::to_owned),
            steps: self.checked_steps().iter().map(plan_step).collect(),
            calls_by_agents: walk.totals.calls_by_agents(),
            calls: walk.totals.calls,
            estimates: walk.totals.estimates.into_list(),
            time: time::of_list(self.checked_steps(), &BTreeMap::new()),
            permissions,
            secrets: self.names().secrets.clone(),
            models: self.names().models.clone(),
            servers: self.names().servers.clone(),
            journaled: self.journaled_steps().iter().map(|key| key.path.to_string()).collect(),
        }
    }

    /// Returns the options of the command line that grant the missing permissions.
    fn missing_permissions(&self) -> BTreeSet<String> {
        let Err(refused) = self.check_permissions() else { return BTreeSet::new() };
        refused.iter().filter_map(|problem| problem.hint()?.strip_prefix("allow it with ").map(str::to_owned)).collect()
    }
}

fn plan_step(step: &Step) -> PlanStep {
    let what = match &step.kind {
        StepKind::Tool { tool, .. } => Some(tool.spec().name.clone()),
        StepKind::Agent(agent) => Some(agent.model.to_string()),
        StepKind::Items { list, .. } => Some(list.text().to_owned()),
        StepKind::Repeat { until, .. } => Some(format!("until {}", until.text())),
        _ => None,
    };
    PlanStep {
        id: step.id.to_string(),
        path: step.path.to_string(),
        kind: step.kind.key(),
        what,
        modifiers: modifiers(step),
        journaled: step.is_journaled(),
        time: time::of(step, &BTreeMap::new()),
        steps: step.kind.inner().iter().map(plan_step).collect(),
        fallback: step.fallback.iter().map(plan_step).collect(),
    }
}

fn modifiers(step: &Step) -> Vec<String> {
    let mut parts = Vec::new();
    let spans = |times: &[crate::syntax::duration::DurationDef]| {
        times.iter().map(|time| format_duration(time.0)).collect::<Vec<_>>().join(", ")
    };
    match &step.kind {
        StepKind::Concurrent { limit: Some(limit), .. } => parts.push(format!("limit {limit} at once")),
        StepKind::Items { limit, .. } => parts.push(format!("limit {limit} at once")),
        StepKind::Repeat { max, .. } => parts.push(format!("max {max}")),
        _ => {}
    }
    if let StepKind::Concurrent { skip: true, .. } | StepKind::Items { skip: true, .. } = &step.kind {
        parts.push("on_error skip".to_owned());
    }
    let all = &step.modifiers;
    parts.extend(step.when.as_ref().map(|when| format!("when {}", when.text())));
    parts.extend(all.deadline.as_ref().map(|deadline| format!("deadline {}", format_duration(deadline.value.0))));
    parts.extend(
        all.retry.as_ref().filter(|retry| retry.value.0.max > 1).map(|retry| format!("{} attempts", retry.value.0.max)),
    );
    parts.extend(all.hedge.as_ref().map(|hedge| match hedge.value.0.after {
        After::Delay(delay) => format!("hedge {}", format_duration(delay)),
        After::Percentile(percentile) => format!("hedge p{percentile}"),
    }));
    parts.extend(all.breaker.as_ref().filter(|breaker| !breaker.value.0.off).map(|_| "breaker".to_owned()));
    if let Some(rate) = &all.rate {
        parts.extend(rate.value.0.requests.map(|requests| format!("rate {requests}")));
        parts.extend(rate.value.0.tokens.map(|tokens| format!("rate {}", tokens.of(" tokens"))));
    }
    parts.extend(all.limit.as_ref().map(|limit| format!("limit {}", limit.value)));
    parts.extend(all.adaptive.as_ref().filter(|adaptive| !adaptive.value.0.off).map(|_| "limit adaptive".to_owned()));
    if let Some(timeout) = &all.timeout {
        let def = &timeout.value.0;
        parts.extend((!def.attempt.is_empty()).then(|| format!("timeout {}", spans(&def.attempt))));
        parts.extend(def.first.map(|first| format!("first output within {}", format_duration(first.0))));
        parts.extend(def.idle.map(|idle| format!("silent for {} at most", format_duration(idle.0))));
    }
    parts
}
