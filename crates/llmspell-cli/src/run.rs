//! `llmspell run`: a flow over records.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use llmspell::{Context, Rate, Registry};
use llmspell_flow::Flow;
use llmspell_run::{Brake, Ending, Input, Journal, Journals, Output, Retention, Run, Summary};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::allow;
use crate::args::{Command, OnError, Progress, Report, RetentionArgs, RunArgs, StateArgs};
use crate::exit::{Exit, Failure, story};
use crate::interrupt::{Asked, Interrupts};
use crate::line::Line;
use crate::live::{Live, TICK};
use crate::open::{self, Opened};
use crate::report::Told;
use crate::{leftover, panics, records, report, resume, show};

/// Everything that can be wrong is found before the first record is read; then the run.
pub(crate) fn run(args: RunArgs, line: Line, registry: &Registry) -> Result<Exit, Failure> {
    follow(args, line, registry, None)
}

/// A run, or an earlier one that goes on.
pub(crate) fn follow(
    args: RunArgs,
    mut line: Line,
    registry: &Registry,
    resumed: Option<Journal>,
) -> Result<Exit, Failure> {
    let toolbox = allow::toolbox(&args.allow, registry)?;
    let runtime = runtime()?;
    let read = open::Read::new(&args.flow, toolbox, registry)?;
    read.permitted()?;
    panics::keep_secrets(read.flow());
    let args = match line.with_flow(read.flow().run_options())?.command {
        Command::Run(with_flow) => *with_flow,
        _ => args,
    };
    let args = &args;
    // Said here and not to clap: options of runs are also read one by one, each without those that it conflicts with.
    if args.journal.no_journal && args.again.is_asked() {
        let message = "error: without a journal, nobody knows which records have failed";
        return Err(Failure::invalid(format!(
            "{message}\n\nhint: leave out --no-journal, or --only-failed and --retry"
        )));
    }
    if let Some(told) = args.pace.budget.and_then(|spending| spending.blind_spot(read.flow())) {
        show::problem(&told);
    }
    let resumed = match resumed {
        None if args.again.is_asked() => Some(resume::of_flow(read.flow(), args)?),
        other => other,
    };
    // Before anybody listens to signals: a pipe that nobody writes to is waited for here, and nothing could end that.
    let input = records::open(&records::From::run(args), read.flow())?;
    // Before a server is started or the output is begun, so that no Ctrl-C leaves them behind.
    let mut interrupts = Interrupts::on(&runtime)?;
    let Opened { flow, servers, .. } = read.into_run(&runtime, &mut interrupts)?;
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

    let journal = match journal(args, &line, &flow, resumed) {
        Ok(journal) => journal,
        Err(failure) => {
            output.discard();
            errors.into_iter().for_each(Output::discard);
            return Err(failure);
        }
    };
    let run_name = journal.as_ref().map(|journal| journal.name().to_owned());

    let name = flow.name().to_owned();
    let progress = if args.show.quiet { Progress::None } else { args.show.progress };
    let report = if args.show.quiet { Report::None } else { args.show.report };
    show::speak_json(progress == Progress::Json);
    let cx = registry.observe(&if report == Report::None { Context::new() } else { Context::recording() });
    let mut run = Run::new(flow, input, output);
    let live = {
        let _entered = runtime.enter();
        let to_stdout = is_dash(&args.output) || args.errors.as_deref().is_some_and(is_dash);
        Live::new(progress, &name, to_stdout && std::io::stdout().is_terminal())
    };
    if live.wants_steps() {
        run = run.follow_steps();
    }
    if let Some(limit) = args.pace.limit {
        run = run.limit(limit as usize);
    }
    if args.pace.unordered {
        run = run.unordered();
    }
    if args.pace.keep_going {
        run = run.keep_going();
    }
    if let Some((records, time)) = args.pace.rate {
        run = run.rate(Rate::per(records, time));
    }
    if let Some(spending) = args.pace.budget {
        run = run.budget(spending.budget());
    }
    if let Some(errors) = errors {
        run = run.errors(errors);
    }
    run = run.on_error(match args.pace.on_error {
        OnError::Row => llmspell_run::OnError::Row,
        OnError::Drop => llmspell_run::OnError::Drop,
        OnError::Stop => llmspell_run::OnError::Stop,
    });
    if let Some(journal) = journal {
        run = run.journal(journal);
    }
    let watched = watch(run, &cx, live, interrupts, args.pace.deadline);
    let (summary, stopped) = runtime.block_on(watched);
    runtime.block_on(servers.close());
    // A thread that waits for standard input cannot be woken; it must not keep the program.
    runtime.shutdown_background();

    let resume = run_name.as_ref().map(|name| go_on(name, args.input.as_deref().is_some_and(is_dash), args));
    let told = Told { name: &name, run: run_name.as_deref(), resume: resume.as_deref() };
    tell(&told, &summary, report, args.show.quiet, progress == Progress::Json);
    if matches!(summary.ending, Ending::Complete) && resume.is_some() {
        // That old runs cannot be taken away is no fault of this one.
        let _ = journals(&args.journal.state).tidy(&retention(&args.journal.retention));
    }
    end(&summary, stopped, args.pace.strict, resume.as_deref())
}

pub(crate) fn journals(state: &StateArgs) -> Journals {
    Journals::in_state(&state.state)
}

pub(crate) fn retention(args: &RetentionArgs) -> Retention {
    let mut retention = Retention::default();
    (retention.keep, retention.max_size) = (args.journal_keep, args.journal_max_size);
    retention
}

/// The journal of the run: that of the earlier one, or a new one that says how to go on with it.
fn journal(args: &RunArgs, line: &Line, flow: &Flow, resumed: Option<Journal>) -> Result<Option<Journal>, Failure> {
    if let Some(journal) = resumed {
        let redo = journal.redo(flow)?;
        if redo.records > 0 || redo.rekeyed {
            show::note(&report::redo(&redo));
        }
        return Ok(Some(journal));
    }
    if args.journal.no_journal {
        return Ok(None);
    }
    let words = line.noted()?;
    // With something else in its place, the run could not be resumed as it was begun.
    if let Some(secret) = words.iter().filter_map(|word| flow.secret_in(word.strip_prefix("--set=")?)).next() {
        return Err(Failure::invalid(format!(
            "error: --set gives the value of the secret `{secret}`, and would be noted in the journal\n\n\
             hint: name it under `secrets:` and use `secrets.{secret}` in the arguments of the tool, or run with --no-journal"
        )));
    }
    let journal = journals(&args.journal.state).begin(flow)?;
    let words = serde_json::to_string(&words).unwrap_or_default();
    journal.note("options", &words)?;
    if let Ok(folder) = std::env::current_dir() {
        journal.note("folder", &folder.to_string_lossy())?;
    }
    Ok(Some(journal))
}

/// The command that goes on with a run: what it may do is said again.
pub(crate) fn go_on(name: &str, asks_for_input: bool, args: &RunArgs) -> String {
    let input = if asks_for_input { " --input FILE" } else { "" };
    let command = resume_with(&format!("{name}{input}"), &args.journal.state);
    args.allow.allow.iter().fold(command, |command, grant| format!("{command} --allow {}", show::shell_word(grant)))
}

/// The same for somebody who may have granted something.
pub(crate) fn resume_with(name: &str, state: &StateArgs) -> String {
    let state = state.state.to_string_lossy();
    let state = if state == ".llmspell" { String::new() } else { format!(" --state {}", show::shell_word(&state)) };
    format!("llmspell resume {name}{state}")
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
            .map_err(|error| leftover::told(error, &args.output, args))
    }
}

/// Failed records go where nothing else does.
fn open_errors(args: &RunArgs, path: &Path, input: &Input) -> Result<Output, Failure> {
    if is_dash(path) {
        return Ok(Output::stdout_sparing(input)?);
    }
    let output = Output::create_sparing(path, args.force, input, &args.flow);
    let output = output.map_err(|error| leftover::told(error, path, args));
    output.map_err(|error| Failure::invalid(format!("error: --errors: {}", story(&error))))
}

pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let built = Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| bug(format!("the runtime cannot start: {error}")))
}

pub(crate) fn bug(what: String) -> Failure {
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

fn tell(told: &Told<'_>, summary: &Summary, report: Report, quiet: bool, as_json: bool) {
    if matches!(summary.ending, Ending::NobodyReads) {
        return;
    }
    let incomplete = !matches!(summary.ending, Ending::Complete);
    if as_json {
        show::object(&report::object(told, summary));
    } else if !quiet || incomplete {
        show::note(&report::summary(told, summary));
    }
    match report {
        Report::None => {}
        Report::Text if !as_json => {
            let text = report::whole(&summary.account, show::terminal_width());
            if !text.is_empty() {
                show::note(&format!("\n{text}"));
            }
        }
        Report::Text | Report::Json => show::object(&summary.account),
    }
}

fn end(summary: &Summary, stopped: Option<Exit>, strict: bool, resume: Option<&str>) -> Result<Exit, Failure> {
    match &summary.ending {
        Ending::Aborted => Ok(stopped.unwrap_or(Exit::Interrupted)),
        Ending::Complete if summary.failed > 0 => Ok(Exit::RecordsFailed),
        Ending::Complete if strict && summary.degraded > 0 => Ok(Exit::Degraded),
        Ending::Complete | Ending::NobodyReads => Ok(Exit::Ok),
        Ending::Drained => Ok(Exit::Interrupted),
        Ending::Failed(_) => Ok(Exit::RecordsFailed),
        Ending::OverBudget(why) => {
            Err(Failure { exit: Exit::RecordsFailed, text: report::over_budget(why, summary, resume) })
        }
        Ending::Stopped(why) => Err(Failure { exit: Exit::NotAllowed, text: report::stopped(why, summary, resume) }),
        Ending::InputFailed(error) | Ending::OutputFailed(error) | Ending::JournalFailed(error) => {
            let is_left = summary.written.as_ref().is_some_and(|written| written.path.is_some());
            let then = match (resume, &summary.ending) {
                (Some(resume), _) => format!("\nhint: then go on: {resume}"),
                (None, Ending::OutputFailed(_)) if is_left => {
                    "\nhint: then run again; --force overwrites what is left".to_owned()
                }
                (None, _) => String::new(),
            };
            Err(Failure::invalid(format!("error: {}{then}", story(error))))
        }
    }
}
