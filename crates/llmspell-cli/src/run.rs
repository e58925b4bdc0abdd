//! `llmspell run`: a flow over records.

use std::path::Path;
use std::time::Duration;

use llmspell::{Context, Rate, Registry};
use llmspell_flow::{Brake, Ending, Input, Output, Run, Summary};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::allow;
use crate::args::{Command, OnError, Progress, Report, RunArgs};
use crate::exit::{Exit, Failure, story};
use crate::interrupt::{Asked, Interrupts};
use crate::line::Line;
use crate::live::{Live, TICK};
use crate::open::{self, Opened};
use crate::{records, report, show};

/// Everything that can be wrong is found before the first record is read; then the run.
pub(crate) fn run(args: RunArgs, mut line: Line, registry: &Registry) -> Result<Exit, Failure> {
    let toolbox = allow::toolbox(&args.allow, registry)?;
    let runtime = runtime()?;
    let Opened { flow, servers, .. } = open::to_run(&args.flow, toolbox, registry, &runtime)?;
    let args = match line.with_flow(flow.run_options())?.command {
        Command::Run(with_flow) => *with_flow,
        _ => args,
    };
    let args = &args;
    let input = records::open(args, &flow)?;
    // Before the output is begun, so that no Ctrl-C leaves it behind unsaid.
    let interrupts = {
        let _entered = runtime.enter();
        Interrupts::listen().map_err(|error| bug(format!("cannot listen to signals: {error}")))?
    };
    let output = open_output(args, &input)?;
    let errors = match args.errors.as_deref().map(|path| open_errors(args, path, &input)).transpose() {
        Ok(errors) => errors,
        Err(failure) => {
            output.discard();
            return Err(failure);
        }
    };
    let mut input = input.leave_out(&args.output);
    if let Some(errors) = &args.errors {
        input = input.leave_out(errors);
    }

    let name = flow.name().to_owned();
    let progress = if args.quiet { Progress::None } else { args.progress };
    let report = if args.quiet { Report::None } else { args.report };
    let cx = registry.observe(&if report == Report::None { Context::new() } else { Context::recording() });
    let mut run = Run::new(flow, input, output);
    let live = {
        let _entered = runtime.enter();
        Live::new(progress, &name)
    };
    if live.wants_steps() {
        run = run.follow_steps();
    }
    if let Some(limit) = args.limit {
        run = run.limit(limit as usize);
    }
    if args.unordered {
        run = run.unordered();
    }
    if args.keep_going {
        run = run.keep_going();
    }
    if let Some((records, time)) = args.rate {
        run = run.rate(Rate::per(records, time));
    }
    if let Some(spending) = args.budget {
        run = run.budget(spending.budget());
    }
    if let Some(errors) = errors {
        run = run.errors(errors);
    }
    run = run.on_error(match args.on_error {
        OnError::Row => llmspell_flow::OnError::Row,
        OnError::Drop => llmspell_flow::OnError::Drop,
        OnError::Stop => llmspell_flow::OnError::Stop,
    });
    let watched = watch(run, &cx, live, interrupts, args.deadline);
    let (summary, stopped) = runtime.block_on(watched);
    runtime.block_on(servers.close());
    // A thread that waits for standard input cannot be woken; it must not keep the program.
    runtime.shutdown_background();

    tell(&name, &summary, report, args.quiet);
    end(&summary, stopped, args.strict)
}

pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Neither the input nor the flow may be written over, under whatever name.
fn open_output(args: &RunArgs, input: &Input) -> llmspell::Result<Output> {
    if args.errors.as_ref() == Some(&args.output) {
        return Err(llmspell::Error::invalid("--output and --errors are the same file")
            .with_hint("without --errors, failed records are among the others"));
    }
    if is_dash(&args.output) {
        Output::stdout_sparing(input)
    } else {
        Output::create_sparing(&args.output, args.force, input, &args.flow)
    }
}

/// Failed records go where nothing else does.
fn open_errors(args: &RunArgs, path: &Path, input: &Input) -> Result<Output, Failure> {
    if is_dash(path) {
        return Ok(Output::stdout_sparing(input)?);
    }
    Ok(Output::create_sparing(path, args.force, input, &args.flow)?)
}

pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let built = Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| bug(format!("the runtime cannot start: {error}")))
}

fn bug(what: String) -> Failure {
    Failure { exit: Exit::Bug, text: format!("error: {what}\n\nhint: this should not happen; please report it") }
}

/// Runs to the end, shows how far it is, and listens to signals and the clock. Says also what stopped it, if that has an
/// exit code of its own.
async fn watch(
    run: Run,
    cx: &Context,
    mut live: Live,
    mut interrupts: Interrupts,
    deadline: Option<Duration>,
) -> (Summary, Option<Exit>) {
    let (progress, brake) = (run.progress(), run.brake());
    let (mut pressed, mut stopped) = (0, None);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alarm = std::pin::pin!(sleep(deadline.unwrap_or_default()));
    let mut running = std::pin::pin!(run.start(cx));
    loop {
        tokio::select! {
            biased;
            asked = interrupts.next() => match asked {
                Asked::Politely => {
                    pressed += 1;
                    interrupt(pressed, &brake, &mut live, progress.snapshot().in_flight);
                }
                Asked::AtOnce(exit) => {
                    stopped.get_or_insert(exit);
                    brake.abort();
                    live.say("stopping at once");
                }
            },
            summary = &mut running => {
                live.end(|| progress.snapshot());
                return (summary, stopped);
            }
            () = &mut alarm, if deadline.is_some() && stopped.is_none() => {
                stopped = Some(Exit::Deadline);
                brake.abort();
                live.say("the time of --deadline is up: stopping at once");
            }
            _ = ticks.tick() => live.tick(|| progress.snapshot()),
        }
    }
}

fn interrupt(pressed: u32, brake: &Brake, live: &mut Live, in_flight: usize) {
    if pressed == 1 {
        brake.drain();
        let records = show::counted(in_flight as u64, "record");
        live.say(&format!("stopping: {records} in flight will be finished; Ctrl-C again stops at once"));
    } else {
        brake.abort();
        live.say("stopping at once");
    }
}

fn tell(name: &str, summary: &Summary, report: Report, quiet: bool) {
    if matches!(summary.ending, Ending::NobodyReads) {
        return;
    }
    let incomplete = !matches!(summary.ending, Ending::Complete);
    if !quiet || incomplete {
        show::note(&report::summary(name, summary));
    }
    match report {
        Report::None => {}
        Report::Json => match serde_json::to_string(&summary.account) {
            Ok(json) => show::note(&json),
            Err(error) => show::problem(&format!("error: the report is no JSON: {error}")),
        },
        Report::Text => {
            let text = report::whole(&summary.account, show::terminal_width());
            if !text.is_empty() {
                show::note(&format!("\n{text}"));
            }
        }
    }
}

fn end(summary: &Summary, stopped: Option<Exit>, strict: bool) -> Result<Exit, Failure> {
    match &summary.ending {
        Ending::Aborted => Ok(stopped.unwrap_or(Exit::Interrupted)),
        Ending::Complete if summary.failed > 0 => Ok(Exit::RecordsFailed),
        Ending::Complete if strict && summary.degraded > 0 => Ok(Exit::Degraded),
        Ending::Complete | Ending::NobodyReads => Ok(Exit::Ok),
        Ending::Drained => Ok(Exit::Interrupted),
        Ending::Failed(_) => Ok(Exit::RecordsFailed),
        Ending::OverBudget(why) => Err(Failure { exit: Exit::RecordsFailed, text: report::over_budget(why, summary) }),
        Ending::Stopped(why) => Err(Failure { exit: Exit::NotAllowed, text: report::stopped(why, summary) }),
        Ending::InputFailed(error) | Ending::OutputFailed(error) | Ending::JournalFailed(error) => {
            Err(Failure::invalid(format!("error: {}", story(error))))
        }
    }
}
