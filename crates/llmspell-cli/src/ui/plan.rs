//! A plan as text: the steps of a flow, and what one record and the whole run may take.

mod estimates;

use llmspell_flow::{AgentCalls, Count, InputSurvey, Plan, PlanStep, format_duration};

use crate::ui::text::{count, count_of, wrap};

/// The facts that a plan shows.
pub(crate) struct PlanView<'a> {
    pub(crate) flow_plan: &'a Plan,
    pub(crate) in_flight: usize,
    /// The survey of the input, if the command line names one.
    pub(crate) survey: Option<&'a InputSurvey>,
    /// The amount of the flow's budget, if it may not suffice.
    pub(crate) tight_budget: Option<&'a str>,
}

/// The waits that no bound of time includes, because their length is unknown.
const EXCLUDED_WAITS: &str = "excluding waits for limits, rates and servers that ask for a pause";

/// Returns the plan as text.
pub(crate) fn text(plan: &PlanView<'_>) -> String {
    let flow_plan = plan.flow_plan;
    let mut text = flow_plan.flow.clone();
    if let Some(description) = &flow_plan.description {
        text.push_str(&format!(" · {}", wrap(description, 90, 0)));
    }
    text.push_str("\n\nSteps\n");
    tree(&flow_plan.steps, 1, None, &mut text);
    text.push_str("\nOne record\n");
    text.push_str(&one_record(flow_plan));
    if plan.survey.is_none() {
        text.push_str(&estimates::table(&flow_plan.estimates));
    }
    text.push_str(&format!("\nThe run\n  {} records in flight\n", plan.in_flight));
    match plan.survey {
        None => text.push_str("  name the records with --input to count them\n"),
        Some(survey) => text.push_str(&whole_run(plan.in_flight, survey)),
    }
    if let Some(amount) = plan.tight_budget {
        text.push_str(&format!("  budget {amount}: may not suffice; the run then stops\n"));
    }
    let needs = needs(flow_plan);
    if !needs.is_empty() {
        text.push_str(&format!("\nNeeds and journal\n{needs}"));
    }
    text.trim_end().to_owned()
}

fn one_record(flow_plan: &Plan) -> String {
    let calls = flow_plan.calls.iter().map(|(tool, count)| format!("  calls of {tool}: at most {count}\n"));
    let mut text: String = calls.collect();
    text.push_str(&calls_by_agents(&flow_plan.calls_by_agents));
    if flow_plan.calls.is_empty() {
        text.push_str("  no calls\n");
    }
    text + &wrapped(&format!("time: {}, {EXCLUDED_WAITS}", flow_plan.time))
}

fn whole_run(in_flight: usize, survey: &InputSurvey) -> String {
    let mut text = format!("  {}\n", count_of(survey.records, "record"));
    if survey.wrong > 0 {
        let first = survey.first_wrong.as_deref().unwrap_or_default();
        text.push_str(&format!("  {}; the first: {first}\n", count_of(survey.wrong, "invalid record")));
    }
    for (tool, count) in &survey.calls {
        text.push_str(&format!("  calls of {tool}: at most {}\n", number(count)));
    }
    text.push_str(&calls_by_agents(&survey.calls_by_agents));
    // No slot is empty while records wait, so all slots share the work, except for that of the last record.
    match (survey.all.max(), survey.slowest.max()) {
        (Some(all), Some(slowest)) if !all.is_zero() => {
            let shared = all / u32::try_from(in_flight.max(1)).unwrap_or(u32::MAX);
            let most = format_duration(shared.saturating_add(slowest).min(all));
            text.push_str(&wrapped(&format!("time: {most} if every call takes its whole time, {EXCLUDED_WAITS}")));
        }
        (None, _) => text.push_str(&wrapped(&format!("time: {}", survey.slowest))),
        _ => {}
    }
    text + &estimates::table(&survey.estimates)
}

/// Returns what the flow needs and which steps are journaled, one list per line.
fn needs(flow_plan: &Plan) -> String {
    let lists = [
        ("permissions", &flow_plan.permissions),
        ("secrets", &flow_plan.secrets),
        ("models", &flow_plan.models),
        ("servers", &flow_plan.servers),
        ("journaled", &flow_plan.journaled),
    ];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    lists
        .map(|(name, list)| format!("  {name}: {}\n", list.join(if *name == "permissions" { " " } else { ", " })))
        .collect()
}

/// Wraps a long line at 80 columns.
fn wrapped(line: &str) -> String {
    format!("  {}\n", wrap(line, 76, 4))
}

fn calls_by_agents(calls: &[AgentCalls]) -> String {
    let line = |calls: &AgentCalls| {
        let AgentCalls { tool, agent, turns, .. } = calls;
        format!("  calls of {tool}: by the agent `{agent}`, in up to {} turns\n", number(turns))
    };
    calls.iter().map(line).collect()
}

fn number(number: &Count) -> String {
    number.fixed().map_or_else(|| number.to_string(), count)
}

/// Appends one line per step, nested steps indented.
fn tree(steps: &[PlanStep], depth: usize, prefix: Option<&str>, text: &mut String) {
    for step in steps {
        let mut line = format!("{}{}{}", "  ".repeat(depth), prefix.unwrap_or_default(), step.id);
        line.push_str(&format!("  {}", step.kind));
        if let Some(what) = &step.what {
            line.push_str(&format!(" {what}"));
        }
        if !step.modifiers.is_empty() {
            line.push_str(&format!(" · {}", step.modifiers.join(" · ")));
        }
        let is_leaf = step.steps.is_empty();
        if is_leaf && step.time.max().is_none() {
            line.push_str(" · unbounded time");
        }
        text.push_str(&line);
        text.push('\n');
        tree(&step.steps, depth + 1, None, text);
        tree(&step.fallback, depth + 1, Some("or "), text);
    }
}
