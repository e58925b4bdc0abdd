//! `llmspell plan`: what a flow would do, without doing it.

mod budget;

use llmspell::Step;
use llmspell::model::BYTES_PER_TOKEN;
use llmspell::registry::Registry;
use llmspell_flow::{Flow, InputSurvey};
use serde_json::json;

use crate::exit::{CommandError, Exit};
use crate::load::{self, LoadedFlow, ReadyFlow};
use crate::options::allow;
use crate::options::args::PlanArgs;
use crate::options::records::RecordOptions;
use crate::ui::plan::{self, PlanView};
use crate::ui::terminal;

/// Prints the plan of a flow, for its records if the command line names them.
pub(super) fn plan(args: &PlanArgs, registry: &Registry) -> Result<Exit, CommandError> {
    let toolbox = allow::toolbox(&args.allow, registry)?;
    let ReadyFlow { flow, .. } = LoadedFlow::read(&args.flow, toolbox, registry)?.inspect();
    flow.warnings().for_each(|warning| terminal::problem(&warning.to_string()));
    let flow_plan = flow.plan();
    let survey = RecordOptions::of_plan(args).map(|records| survey(&flow, &records)).transpose()?;
    let budget = budget::of_flow(&flow, survey.as_ref());
    let in_flight = args.limit.map_or_else(|| flow.into_step().info().default_in_flight, |limit| limit as usize);
    let text = if args.json {
        let plan = json!({
            "outline": flow_plan, "in_flight": in_flight, "input": survey, "bytes_per_token": BYTES_PER_TOKEN,
            "budget": budget,
        });
        plan.to_string()
    } else {
        let tight_budget = budget.as_ref().filter(|budget| !budget.is_enough).map(|budget| budget.amount.as_str());
        plan::text(&PlanView { flow_plan: &flow_plan, in_flight, survey: survey.as_ref(), tight_budget })
    };
    terminal::data(&text)?;
    Ok(Exit::Ok)
}

/// Reads the records and counts what the flow would do for them.
fn survey(flow: &Flow, records: &RecordOptions<'_>) -> Result<InputSurvey, CommandError> {
    let input = records.open(flow)?;
    let runtime = load::runtime()?;
    let survey = runtime.block_on(llmspell_run::survey(flow, input));
    // A thread that reads standard input cannot be woken, and must not keep the process alive.
    runtime.shutdown_background();
    Ok(survey?)
}
