//! What a flow will do, before it does anything: its steps, how often they call something, what that costs,
//! and how long it can take.

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
pub use survey::{Survey, Surveyor};
pub use time::TimeBound;
pub use walk::AgentCalls;

use crate::flow::Flow;
use crate::ir::step::{Planned, StepKind};
use crate::syntax::duration::written_duration;
use crate::syntax::file::After;
use partial::Known;
use walk::Walk;

/// What can be known of a flow without running it. Written as JSON by `llmspell plan --json`.
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
/// let outline = flow.outline();
/// assert_eq!(outline.calls["http_get"].fixed(), Some(3));
/// assert_eq!(outline.time.most().unwrap().as_secs(), 3 * 2 + 1 + 2); // attempts, and the waits between them
/// # Ok::<(), llmspell_flow::Diagnostics>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Outline {
    /// The name of the flow.
    pub flow: String,
    /// What the flow says it does.
    pub description: Option<String>,
    /// The steps, as in the file.
    pub steps: Vec<Step>,
    /// The most calls of each tool and each model for one record: attempts, second copies, turns, rounds and fallbacks
    /// together. Tools that only compute are left out, and so are the calls that models make.
    pub calls: BTreeMap<String, Count>,
    /// The calls that models may make, which nobody can count.
    pub calls_by_agents: Vec<AgentCalls>,
    /// What one record would use of each model, as far as it is known without the record.
    pub estimates: Vec<Estimate>,
    /// How long one record can take, without the time in line for limits and rates.
    pub time: TimeBound,
    /// What has to be allowed to run it, such as `--allow net=example.org`.
    pub permissions: Vec<String>,
    /// The environment variables that hold its secrets.
    pub secrets: Vec<String>,
    /// The models that it declares.
    pub models: Vec<String>,
    /// The MCP servers that it declares.
    pub servers: Vec<String>,
    /// The steps that are not done again when a run is resumed.
    pub journaled: Vec<String>,
}

/// A step of an [`Outline`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// Its name among its neighbours.
    pub id: String,
    /// Where it stands in the flow, such as `pages.fetch`.
    pub path: String,
    /// Its kind: `tool`, `value`, `concurrent`, …
    pub kind: &'static str,
    /// What it calls, or the list that it goes through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// How it is run, as in the file: `limit 8`, `timeout 2s`, … What is not said is left out.
    pub modifiers: Vec<String>,
    /// Whether a journal keeps its output.
    pub journaled: bool,
    /// How long it can take for one record, without the time in line for limits and rates.
    pub time: TimeBound,
    /// The steps in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What stands in for it, one for the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Step>,
}

impl Flow {
    /// What the flow will do, before it does anything. Nothing is called for it.
    pub fn outline(&self) -> Outline {
        let mut walk = Walk::new(self.planned());
        walk.record(Known::nothing());
        let mut permissions: Vec<String> = self.wanted().into_iter().collect();
        permissions.sort_unstable();
        Outline {
            flow: self.name().to_owned(),
            description: self.description().map(str::to_owned),
            steps: self.planned().iter().map(step).collect(),
            calls_by_agents: walk.tally.calls_by_agents(),
            calls: walk.tally.calls,
            estimates: walk.tally.estimates.into_list(),
            time: time::of_list(self.planned(), &BTreeMap::new()),
            permissions,
            secrets: self.names().secrets.clone(),
            models: self.names().models.clone(),
            servers: self.names().servers.clone(),
            journaled: self.kept_steps().iter().map(|key| key.path.to_string()).collect(),
        }
    }

    /// The options that would allow what it may not do yet.
    fn wanted(&self) -> BTreeSet<String> {
        let Err(refused) = self.permitted() else { return BTreeSet::new() };
        refused.iter().filter_map(|problem| problem.hint()?.strip_prefix("allow it with ").map(str::to_owned)).collect()
    }
}

fn step(planned: &Planned) -> Step {
    let what = match &planned.kind {
        StepKind::Tool { tool, .. } => Some(tool.spec().name.clone()),
        StepKind::Agent(agent) => Some(agent.model.to_string()),
        StepKind::Items { list, .. } => Some(list.text().to_owned()),
        StepKind::Repeat { until, .. } => Some(format!("until {}", until.text())),
        _ => None,
    };
    Step {
        id: planned.id.to_string(),
        path: planned.path.to_string(),
        kind: planned.kind.word(),
        what,
        modifiers: modifiers(planned),
        journaled: planned.is_kept(),
        time: time::of(planned, &BTreeMap::new()),
        steps: planned.kind.inner().iter().map(step).collect(),
        fallback: planned.fallback.iter().map(step).collect(),
    }
}

fn modifiers(planned: &Planned) -> Vec<String> {
    let mut said = Vec::new();
    let spans = |times: &[crate::syntax::duration::Span]| {
        times.iter().map(|time| written_duration(time.0)).collect::<Vec<_>>().join(", ")
    };
    match &planned.kind {
        StepKind::Concurrent { limit: Some(limit), .. } => said.push(format!("limit {limit} at once")),
        StepKind::Items { limit, .. } => said.push(format!("limit {limit} at once")),
        StepKind::Repeat { max, .. } => said.push(format!("max {max}")),
        _ => {}
    }
    if let StepKind::Concurrent { skip: true, .. } | StepKind::Items { skip: true, .. } = &planned.kind {
        said.push("on_error skip".to_owned());
    }
    let all = &planned.modifiers;
    said.extend(planned.when.as_ref().map(|when| format!("when {}", when.text())));
    said.extend(all.deadline.as_ref().map(|deadline| format!("deadline {}", written_duration(deadline.value.0))));
    said.extend(
        all.retry.as_ref().filter(|retry| retry.value.0.max > 1).map(|retry| format!("{} attempts", retry.value.0.max)),
    );
    said.extend(all.hedge.as_ref().map(|hedge| match hedge.value.0.after {
        After::Delay(delay) => format!("hedge {}", written_duration(delay)),
        After::Percentile(percentile) => format!("hedge p{percentile}"),
    }));
    said.extend(all.breaker.as_ref().filter(|breaker| !breaker.value.0.off).map(|_| "breaker".to_owned()));
    if let Some(rate) = &all.rate {
        said.extend(rate.value.0.requests.map(|requests| format!("rate {requests}")));
        said.extend(rate.value.0.tokens.map(|tokens| format!("rate {}", tokens.of(" tokens"))));
    }
    said.extend(all.limit.as_ref().map(|limit| format!("limit {}", limit.value)));
    said.extend(all.adaptive.as_ref().filter(|adaptive| !adaptive.value.0.off).map(|_| "limit adaptive".to_owned()));
    if let Some(timeout) = &all.timeout {
        let def = &timeout.value.0;
        said.extend((!def.attempt.is_empty()).then(|| format!("timeout {}", spans(&def.attempt))));
        said.extend(def.first.map(|first| format!("first output within {}", written_duration(first.0))));
        said.extend(def.idle.map(|idle| format!("silent for {} at most", written_duration(idle.0))));
    }
    said
}
