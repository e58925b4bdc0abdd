//! `llmspell plan`: what a flow would do, without doing it.

mod budget;
mod estimates;

use llmspell::model::BYTES_PER_TOKEN;
use llmspell::{Registry, Step};
use llmspell_flow::{AgentCalls, Count, Outline, OutlineStep, Survey, written_duration};
use serde_json::json;

use crate::args::PlanArgs;
use crate::exit::{Exit, Failure};
use crate::{allow, open, records, show};
use budget::FlowsBudget;

/// Tells what there is to know before a run.
pub(crate) fn plan(args: &PlanArgs, registry: &Registry) -> Result<Exit, Failure> {
    let toolbox = allow::toolbox(&args.allow, registry)?;
    let open::Opened { flow, .. } = open::Read::new(&args.flow, toolbox, registry)?.into_look();
    flow.warnings().for_each(|warning| show::problem(&warning.to_string()));
    let outline = flow.outline();
    let survey = match records::From::plan(args) {
        None => None,
        Some(from) => {
            let input = records::open(&from, &flow)?;
            let runtime = crate::run::runtime()?;
            let survey = runtime.block_on(llmspell_run::survey(&flow, input));
            runtime.shutdown_background();
            Some(survey?)
        }
    };
    let budget = budget::of(&flow, survey.as_ref());
    let in_flight = args.limit.map_or_else(|| flow.into_step().info().default_in_flight, |limit| limit as usize);
    let text = if args.json {
        let plan = json!({
            "outline": outline, "in_flight": in_flight, "input": survey, "bytes_per_token": BYTES_PER_TOKEN,
            "budget": budget,
        });
        plan.to_string()
    } else {
        told(&outline, in_flight, survey.as_ref(), budget.as_ref())
    };
    show::data(&text).map_err(Failure::output)?;
    Ok(Exit::Ok)
}

/// What is in no bound: nobody knows how long it takes.
const LEFT_OUT: &str = "without waits for limits, rates, and servers that ask for some";

fn told(outline: &Outline, in_flight: usize, survey: Option<&Survey>, budget: Option<&FlowsBudget>) -> String {
    let mut text = outline.flow.clone();
    if let Some(description) = &outline.description {
        text.push_str(&format!(" · {}", show::wrapped(description, 90, 0)));
    }
    text.push_str("\n\nSteps\n");
    tree(&outline.steps, 1, None, &mut text);
    text.push_str("\nOne record\n");
    for (tool, count) in &outline.calls {
        text.push_str(&format!("  calls of {tool}: at most {count}\n"));
    }
    text.push_str(&by_agents(&outline.calls_by_agents));
    if outline.calls.is_empty() {
        text.push_str("  no calls\n");
    }
    text.push_str(&within(&format!("time: {}, {LEFT_OUT}", outline.time)));
    if survey.is_none() {
        text.push_str(&estimates::table(&outline.estimates));
    }
    text.push_str(&format!("\nThe run\n  {in_flight} records in flight\n"));
    match survey {
        None => text.push_str("  give the records with --input, and they are counted\n"),
        Some(survey) => text.push_str(&of_input(in_flight, survey)),
    }
    if let Some(FlowsBudget { amount, .. }) = budget.filter(|budget| !budget.is_enough) {
        text.push_str(&format!("  budget {amount}: may not be enough, and then the run stops\n"));
    }
    let lists = [
        ("permissions", &outline.permissions),
        ("secrets", &outline.secrets),
        ("models", &outline.models),
        ("servers", &outline.servers),
        ("journaled", &outline.journaled),
    ];
    let wants: String = lists
        .iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("  {name}: {}\n", list.join(if *name == "permissions" { " " } else { ", " })))
        .collect();
    if !wants.is_empty() {
        text.push_str(&format!("\nIt wants, and keeps\n{wants}"));
    }
    text.trim_end().to_owned()
}

fn of_input(in_flight: usize, survey: &Survey) -> String {
    let mut text = format!("  {}\n", show::counted(survey.records, "record"));
    if survey.wrong > 0 {
        let first = survey.first_wrong.as_deref().unwrap_or_default();
        text.push_str(&format!("  {} of them would be refused; the first: {first}\n", show::count(survey.wrong)));
    }
    for (tool, count) in &survey.calls {
        text.push_str(&format!("  calls of {tool}: at most {}\n", number(count)));
    }
    text.push_str(&by_agents(&survey.calls_by_agents));
    // No place is left empty while records wait: all of the work is shared, but for the last record.
    match (survey.all.most(), survey.slowest.most()) {
        (Some(all), Some(slowest)) if !all.is_zero() => {
            let shared = all / u32::try_from(in_flight.max(1)).unwrap_or(u32::MAX);
            let most = written_duration(shared.saturating_add(slowest).min(all));
            text.push_str(&within(&format!("time: {most} if every call takes all of its time, {LEFT_OUT}")));
        }
        (None, _) => text.push_str(&within(&format!("time: {}", survey.slowest))),
        _ => {}
    }
    text.push_str(&estimates::table(&survey.estimates));
    text
}

/// A line that may be long, broken as terminals are wide.
fn within(line: &str) -> String {
    format!("  {}\n", show::wrapped(line, 76, 4))
}

fn by_agents(calls: &[AgentCalls]) -> String {
    let line = |calls: &AgentCalls| {
        let AgentCalls { tool, agent, turns, .. } = calls;
        format!("  calls of {tool}: by the agent `{agent}`, in up to {} turns\n", number(turns))
    };
    calls.iter().map(line).collect()
}

fn number(count: &Count) -> String {
    count.fixed().map_or_else(|| count.to_string(), show::count)
}

fn tree(steps: &[OutlineStep], depth: usize, prefix: Option<&str>, text: &mut String) {
    for step in steps {
        let mut line = format!("{}{}{}", "  ".repeat(depth), prefix.unwrap_or_default(), step.id);
        line.push_str(&format!("  {}", step.kind));
        if let Some(what) = &step.what {
            line.push_str(&format!(" {what}"));
        }
        if !step.modifiers.is_empty() {
            line.push_str(&format!(" · {}", step.modifiers.join(" · ")));
        }
        let leaf = step.steps.is_empty();
        if leaf && step.time.most().is_none() {
            line.push_str(" · no bound in time");
        }
        text.push_str(&line);
        text.push('\n');
        tree(&step.steps, depth + 1, None, text);
        tree(&step.fallback, depth + 1, Some("or "), text);
    }
}
