//! From a request to a run that is ready to start.

use std::io::IsTerminal;

use llmspell::registry::Registry;
use llmspell::{Context, Rate};
use llmspell_flow::Flow;
use llmspell_run::{Journal, Run};
use tokio::runtime::Runtime;

use super::files::Files;
use super::{Request, earlier, journals};
use crate::exit::CommandError;
use crate::interrupt::Interrupts;
use crate::load::{self, LoadedFlow, ReadyFlow, Servers};
use crate::options::allow;
use crate::options::args::{Command, OnError, Progress, Report, RunArgs};
use crate::options::records::{RecordOptions, is_dash};
use crate::ui::live::Live;
use crate::ui::{panics, terminal};

/// A session that is ready to start: its files are open, its servers connected, and its journal begun.
pub(super) struct Prepared {
    /// The options, including those that the flow sets.
    pub(super) args: RunArgs,
    /// The name of the flow.
    pub(super) flow: String,
    /// The name of the run, if it has a journal.
    pub(super) run_name: Option<String>,
    pub(super) run: Run,
    pub(super) context: Context,
    pub(super) live: Live,
    pub(super) servers: Servers,
    pub(super) interrupts: Interrupts,
    pub(super) runtime: Runtime,
}

impl Request {
    /// Opens everything that the session needs. A failure leaves no file and no server behind.
    pub(super) fn prepare(self, registry: &Registry) -> Result<Prepared, CommandError> {
        let Request { args, mut options, journal } = self;
        let toolbox = allow::toolbox(&args.allow, registry)?;
        let runtime = load::runtime()?;
        let loaded = LoadedFlow::read(&args.flow, toolbox, registry)?;
        loaded.check_permissions()?;
        panics::redact_secrets(loaded.flow());
        let args = match options.with_flow(loaded.flow().run_options())?.command {
            Command::Run(with_flow) => *with_flow,
            _ => args,
        };
        check_options(&args, loaded.flow())?;
        let earlier = match journal {
            None if args.retry.is_set() => Some(earlier::latest_of_flow(loaded.flow(), &args)?),
            other => other,
        };
        // Opened before signals are taken over: this waits for a pipe without a writer, and only a signal that still
        // ends the process can end that wait.
        let input = RecordOptions::of_run(&args).open(loaded.flow())?;
        // Taken over before a server is started or a file begun, so that Ctrl-C leaves neither behind.
        let mut interrupts = Interrupts::listen(&runtime)?;
        let ReadyFlow { flow, servers, .. } = loaded.prepare(&runtime, &mut interrupts)?;
        let files = Files::open(&args, input)?;
        let journal = match journals::begin_or_continue(&args, &options, &flow, earlier) {
            Ok(journal) => journal,
            Err(failure) => {
                files.discard();
                return Err(failure);
            }
        };

        terminal::set_json_errors(args.show.progress() == Progress::Json);
        let name = flow.name().to_owned();
        let live = {
            let _entered = runtime.enter();
            Live::new(args.show.progress(), &name, writes_to_terminal(&args))
        };
        let context = if args.show.report() == Report::None { Context::new() } else { Context::recording() };
        Ok(Prepared {
            flow: name,
            run_name: journal.as_ref().map(|journal| journal.name().to_owned()),
            run: configure(flow, files, journal, &args, live.shows_steps()),
            context: registry.observe(&context),
            live,
            servers,
            interrupts,
            runtime,
            args,
        })
    }
}

/// Checks the options that clap cannot check: an option of a run is also parsed alone, without those that it conflicts
/// with, and the budget depends on the flow.
fn check_options(args: &RunArgs, flow: &Flow) -> Result<(), CommandError> {
    if args.journal.no_journal && args.retry.is_set() {
        let message = "error: --no-journal conflicts with --only-failed and --retry: the journal holds the failures";
        return Err(CommandError::invalid(format!(
            "{message}\n\nhint: leave out --no-journal, or --only-failed and --retry"
        )));
    }
    if let Some(warning) = args.pace.budget.and_then(|budget| budget.unpriced_warning(flow)) {
        terminal::problem(&warning);
    }
    Ok(())
}

/// Returns whether outcomes or failed records go to a terminal.
fn writes_to_terminal(args: &RunArgs) -> bool {
    let to_stdout = is_dash(&args.output) || args.errors.as_deref().is_some_and(is_dash);
    to_stdout && std::io::stdout().is_terminal()
}

fn configure(flow: Flow, files: Files, journal: Option<Journal>, args: &RunArgs, follow_steps: bool) -> Run {
    let Files { input, output, errors } = files;
    let mut run = Run::new(flow, input, output);
    if follow_steps {
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
    if let Some(budget) = args.pace.budget {
        run = run.budget(budget.budget());
    }
    if let Some(errors) = errors {
        run = run.errors(errors);
    }
    if let Some(journal) = journal {
        run = run.journal(journal);
    }
    run.on_error(match args.pace.on_error {
        OnError::Row => llmspell_run::OnError::Row,
        OnError::Drop => llmspell_run::OnError::Drop,
        OnError::Stop => llmspell_run::OnError::Stop,
    })
}
