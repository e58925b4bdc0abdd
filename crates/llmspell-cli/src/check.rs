//! `llmspell check`: what is wrong with flow files.

use llmspell::Registry;
use llmspell_flow::Flow;

use crate::allow;
use crate::args::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::show;

/// Checks each file and says so; the exit code tells whether all are right.
pub(crate) fn check(args: &CheckArgs, registry: &Registry) -> Result<Exit, Failure> {
    let toolbox = allow::nothing(registry)?;
    let mut exit = Exit::Ok;
    for path in &args.flows {
        match Flow::load(path, &toolbox) {
            Ok(flow) => {
                for warning in flow.warnings() {
                    show::problem(&warning.to_string());
                }
                let steps: Vec<&str> = flow.steps().collect();
                let steps = format!("{}: {}", show::counted(steps.len() as u64, "step"), steps.join(" → "));
                let mut text = format!("{}: the flow `{}` is right; {steps}", path.display(), flow.name());
                if let Err(refused) = flow.permitted() {
                    let mut flags: Vec<&str> =
                        refused.iter().filter_map(|problem| problem.hint()?.strip_prefix("allow it with ")).collect();
                    flags.sort_unstable();
                    flags.dedup();
                    text = format!("{text}; to run it, allow what it asks for: {}", flags.join(" "));
                }
                show::data(&text).map_err(Failure::output)?;
            }
            Err(wrong) => {
                show::problem(&wrong.to_string());
                exit = Exit::Invalid;
            }
        }
    }
    Ok(exit)
}
