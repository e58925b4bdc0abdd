//! Runs: a flow over a stream of records, one line of output for each.
//!
//! [`Run`] is the specification. `start` opens a `Session` (with a journal or without), connects everything to a
//! `Pipeline`, drives it to its end, and returns a [`Summary`].

mod controls;
mod finish;
mod pipeline;
mod processor;
mod remaining;
mod run_end;
mod run_loop;
mod session;

use std::sync::Arc;

use llmspell::{Budget, Context, Rate};
use llmspell_flow::Flow;
use tokio::sync::watch;
use tokio::time::Instant;

pub use remaining::Unread;
pub use run_end::{RunEnd, StopHandle, Summary};

use crate::input::Input;
use crate::journal::Journal;
use crate::output::{OnError, Output};
use crate::progress::{Progress, Total};
use pipeline::Pipeline;
use run_end::Stop;
use session::Session;

/// A flow, the records it runs over, and the outputs for their outcomes.
///
/// ```
/// use llmspell::Context;
/// use llmspell_flow::{Flow, Source, Toolbox};
/// use llmspell_run::{RunEnd, Input, Output, Run};
/// use llmspell_tools::Permissions;
///
/// let text = "flow: count\nsteps: [{ id: size, tool: text, with: { value: \"${{ inputs.q }}\", count: true } }]";
/// let flow = Flow::parse(&Source::new("count.yaml", text), &Toolbox::built_in(&Permissions::none()))?;
/// let records = "{\"q\":\"one two\"}\n{\"q\":5}\n";
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// let run = Run::new(flow, Input::from_reader("records", records.as_bytes()), Output::stdout());
/// let summary = run.limit(8).start(&Context::recording()).await;
/// assert!(matches!(summary.ending, RunEnd::Complete));
/// assert_eq!((summary.ok, summary.failed), (1, 1));
/// # });
/// # Ok::<(), llmspell_flow::Diagnostics>(())
/// ```
#[must_use = "a run does nothing until it is started"]
pub struct Run {
    flow: Flow,
    input: Input,
    output: Output,
    limit: Option<usize>,
    ordered: bool,
    keep_going: bool,
    rate: Option<Rate>,
    budget: Budget,
    errors: Option<Output>,
    on_error: OnError,
    progress: Arc<Progress>,
    follow_steps: bool,
    journal: Option<Journal>,
    stop: watch::Sender<Stop>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("flow", &self.flow).field("input", &self.input).finish_non_exhaustive()
    }
}

impl Run {
    /// A run that keeps the order of the input, with as many records in flight as keep the steps busy.
    pub fn new(flow: Flow, input: Input, output: Output) -> Self {
        let (stop, _) = watch::channel(Stop::No);
        let progress = Arc::<Progress>::default();
        progress.expect(input.size().map(Total::Bytes));
        Run {
            flow,
            input,
            output,
            limit: None,
            ordered: true,
            keep_going: false,
            progress,
            follow_steps: false,
            rate: None,
            budget: Budget::unlimited(),
            errors: None,
            on_error: OnError::Row,
            journal: None,
            stop,
        }
    }

    /// Keeps at most this many records in flight. The default is the sum of the limits of the steps, where a step
    /// without a limit counts as 16.
    ///
    /// # Panics
    /// If the limit is 0.
    pub fn limit(mut self, records: usize) -> Self {
        assert!(records > 0, "a limit must be at least 1: with 0, nothing would ever run");
        self.limit = Some(records);
        self
    }

    /// Writes outcomes as they come, not in the order of the input.
    pub fn unordered(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// Reads every record, even if those before it were denied.
    ///
    /// By default, a run ends when credentials or money are missing: when 10 records in a row are
    /// [denied](llmspell::ErrorKind::Denied), or half of at least 20 within 30 s. The remaining records would be denied
    /// too, and the steps before the denied one may cost money.
    pub fn keep_going(mut self) -> Self {
        self.keep_going = true;
        self
    }

    /// Starts records no faster than this. Records that an earlier session finished do not count.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Reads no more records once the budget is too small for another one; records in flight are finished. The run
    /// then ends with [`RunEnd::OverBudget`].
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Writes the lines of failed records to this output instead of the main one.
    pub fn errors(mut self, errors: Output) -> Self {
        self.errors = Some(errors);
        self
    }

    /// Sets how a failed record is handled; by default it has a line in the output.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Keeps a journal, or resumes the journal of an earlier session: work recorded there is not repeated.
    ///
    /// A run with a journal executes the commands it is [sent](crate::Journals::send_command): `pause` stops reading
    /// records, `continue` reads them again, `drain` is [`StopHandle::drain`]. `limit=N` and `rate=N/TIME` change the
    /// records in flight and how fast they start; `limit.STEP=N` and `rate.STEP=N/TIME` change those of a step. The
    /// number of records in flight follows the limits of the steps until [`Run::limit`] or `limit=N` sets it.
    pub fn journal(mut self, journal: Journal) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Follows the activity of each step, so that [`Progress::snapshot`] can show it. Costs about a tenth of the
    /// throughput of a run whose steps do next to nothing.
    pub fn follow_steps(mut self) -> Self {
        self.follow_steps = true;
        self
    }

    /// Returns the progress of the run, which can be read at any time.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Returns a handle that stops the run.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(self.stop.clone())
    }

    /// Runs to the end. `cx` records the events, if it records.
    pub async fn start(mut self, cx: &Context) -> Summary {
        let began = Instant::now();
        self.input.decoder.configure(&self.flow);
        match Session::open(self.journal.take(), &self.flow).await {
            Ok(session) => Pipeline::new(self, session, began, cx).run().await,
            Err(error) => {
                [Some(self.output), self.errors].into_iter().flatten().for_each(Output::discard);
                Summary::not_started(RunEnd::JournalFailed(error), began.elapsed())
            }
        }
    }
}
