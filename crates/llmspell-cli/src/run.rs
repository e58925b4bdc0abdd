//! `llmspell run`: a flow over records.

use std::path::Path;
use std::time::Duration;

use llmspell::{Context, Registry};
use llmspell_flow::{Brake, Ending, Input, Output, Run, Summary};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::allow;
use crate::args::{Progress, Report, RunArgs};
use crate::exit::{Exit, Failure, story};
use crate::interrupt::{Asked, Interrupts};
use crate::meter::{Meter, TICK};
use crate::open::{self, Opened};
use crate::{records, report, show};

/// Everything that can be wrong is found before the first record is read; then the run.
pub(crate) fn run(args: &RunArgs, registry: &Registry) -> Result<Exit, Failure> {
    let toolbox = allow::toolbox(&args.allow, registry)?;
    let runtime = runtime()?;
    let Opened { flow, servers, .. } = open::to_run(&args.flow, toolbox, registry, &runtime)?;
    let input = records::open(args, &flow)?;
    // Before the output is begun, so that no Ctrl-C leaves it behind unsaid.
    let interrupts = {
        let _entered = runtime.enter();
        Interrupts::listen().map_err(|error| bug(format!("cannot listen to signals: {error}")))?
    };
    let output = open_output(args, &input)?;
    let input = input.leave_out(&args.output);

    let name = flow.name().to_owned();
    let progress = if args.quiet { Progress::None } else { args.progress };
    let meter = Meter::new(progress, &name, input.size());
    let report = if args.quiet { Report::None } else { args.report };
    let cx = registry.observe(&if report == Report::None { Context::new() } else { Context::recording() });
    let mut run = Run::new(flow, input, output);
    if let Some(limit) = args.limit {
        run = run.limit(limit as usize);
    }
    if args.unordered {
        run = run.unordered();
    }
    if args.keep_going {
        run = run.keep_going();
    }
    let watched = watch(run, &cx, meter, interrupts, args.deadline);
    let (summary, stopped) = runtime.block_on(watched);
    runtime.block_on(servers.close());
    // A thread that waits for standard input cannot be woken; it must not keep the program.
    runtime.shutdown_background();

    tell(&name, &summary, &cx, report, args.quiet);
    end(&summary, stopped)
}

pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Neither the input nor the flow may be written over, under whatever name.
fn open_output(args: &RunArgs, input: &Input) -> llmspell::Result<Output> {
    if is_dash(&args.output) {
        Output::stdout_sparing(input)
    } else {
        Output::create_sparing(&args.output, args.force, input, &args.flow)
    }
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
    mut meter: Meter,
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
                    interrupt(pressed, &brake, &meter, progress.snapshot().in_flight);
                }
                Asked::AtOnce(exit) => {
                    stopped.get_or_insert(exit);
                    brake.abort();
                    meter.say("stopping at once");
                }
            },
            summary = &mut running => {
                meter.clear();
                return (summary, stopped);
            }
            () = &mut alarm, if deadline.is_some() && stopped.is_none() => {
                stopped = Some(Exit::Deadline);
                brake.abort();
                meter.say("the time of --deadline is up: stopping at once");
            }
            _ = ticks.tick() => meter.draw(progress.snapshot()),
        }
    }
}

fn interrupt(pressed: u32, brake: &Brake, meter: &Meter, in_flight: usize) {
    if pressed == 1 {
        brake.drain();
        let records = show::counted(in_flight as u64, "record");
        meter.say(&format!("stopping: {records} in flight will be finished; Ctrl-C again stops at once"));
    } else {
        brake.abort();
        meter.say("stopping at once");
    }
}

fn tell(name: &str, summary: &Summary, cx: &Context, report: Report, quiet: bool) {
    if matches!(summary.ending, Ending::NobodyReads) {
        return;
    }
    let incomplete = !matches!(summary.ending, Ending::Complete);
    if !quiet || incomplete {
        show::note(&report::summary(name, summary));
    }
    match report {
        Report::None => {}
        Report::Json => match serde_json::to_string(&cx.report()) {
            Ok(json) => show::note(&json),
            Err(error) => show::problem(&format!("error: the report is no JSON: {error}")),
        },
        Report::Text => {
            let parts = [report::steps(&cx.report()), report::failures(summary)];
            for part in parts.into_iter().flatten() {
                show::note(&format!("\n{part}"));
            }
        }
    }
}

fn end(summary: &Summary, stopped: Option<Exit>) -> Result<Exit, Failure> {
    match &summary.ending {
        Ending::Aborted => Ok(stopped.unwrap_or(Exit::Interrupted)),
        Ending::Complete if summary.failed > 0 => Ok(Exit::RecordsFailed),
        Ending::Complete | Ending::NobodyReads => Ok(Exit::Ok),
        Ending::Drained => Ok(Exit::Interrupted),
        Ending::Stopped(why) => Err(Failure { exit: Exit::NotAllowed, text: report::stopped(why, summary) }),
        Ending::InputFailed(error) | Ending::OutputFailed(error) | Ending::JournalFailed(error) => {
            Err(Failure::invalid(format!("error: {}", story(error))))
        }
    }
}
