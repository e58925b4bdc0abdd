//! Runs: a flow over a stream of records, one line of output for each.

mod account;
pub(crate) mod at_once;
mod beginning;
mod controls;
mod course;
mod failures;
mod files;
mod form;
pub(crate) mod identity;
mod input;
pub(crate) mod integers;
mod ledger;
mod lines;
mod lint;
mod outcome_line;
mod output;
mod place;
mod progress;
mod read_all;
mod reader;
mod record;
mod records;
mod rest;
mod rows;
mod writer;
mod writers;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use llmspell::{Breaker, Budget, Context, Error, Rate, Step};
use tokio::sync::watch;
use tokio::time::Instant;

pub use account::{Account, FailureCount};
pub use failures::{FailureGroup, Failures};
pub use input::Input;
pub use lint::Lint;
pub use output::{Output, Written};
pub use progress::{InStep, Progress, Snapshot, StepNow, Total, Waiting};
pub(crate) use read_all::read_all;
pub use reader::Format;
pub use rest::NotAdmitted;

use crate::flow::Flow;
use crate::journal::{Journal, in_words};
use controls::{Controls, InFlight};
use course::{Course, End};
use progress::Follow;
use record::{Desk, Passage};
use records::Records;
use rest::Gate;
use writers::Writers;

/// A flow, the records to run it over, and where the outcomes go.
///
/// ```
/// use llmspell::Context;
/// use llmspell_flow::{Ending, Flow, Input, Output, Permissions, Run, Source, Toolbox};
///
/// let text = "flow: count\nsteps: [{ id: size, tool: text, with: { value: \"${{ inputs.q }}\", count: true } }]";
/// let flow = Flow::parse(&Source::new("count.yaml", text), &Toolbox::built_in(&Permissions::none()))?;
/// let records = "{\"q\":\"one two\"}\n{\"q\":5}\n";
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// let run = Run::new(flow, Input::from_reader("records", records.as_bytes()), Output::stdout());
/// let summary = run.limit(8).start(&Context::recording()).await;
/// assert!(matches!(summary.ending, Ending::Complete));
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
    follow: bool,
    journal: Option<Journal>,
    stop: watch::Sender<Stop>,
}

/// So many records in a row that were denied end a run. More than the breaker's own 3: of a list of addresses, a few
/// neighbours may well want a password.
const DENIED: u64 = 10;

/// What becomes of a record that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It has its line, like any other.
    #[default]
    Row,
    /// It has no line; it is counted, and the journal has it.
    Drop,
    /// It has its line, and the run takes no more records.
    Stop,
}

/// How much of a run is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    /// Take no more records; finish those in flight.
    Drain,
    /// Stop everything.
    Abort,
}

/// Ends a run before its input does; made by [`Run::brake`].
#[derive(Clone, Debug)]
pub struct Brake(watch::Sender<Stop>);

impl Brake {
    /// Takes no more records, and finishes those in flight, with their waits and retries.
    pub fn drain(&self) {
        self.raise(Stop::Drain);
    }

    /// Stops what is in flight, too. Its records get no line.
    pub fn abort(&self) {
        self.raise(Stop::Abort);
    }

    fn raise(&self, stop: Stop) {
        self.0.send_modify(|now| *now = stop.max(*now));
    }
}

/// How a run came to its end.
#[derive(Clone, Debug)]
pub enum Ending {
    /// Every record has its line.
    Complete,
    /// It was told to [drain](Brake::drain): every record that was taken has its line.
    Drained,
    /// It took no more records, because the last ones were [denied](llmspell::ErrorKind::Denied): every record that was
    /// taken has its line, and [`Summary::not_admitted`] tells of the others.
    Stopped(Error),
    /// It took no more records, because what was left of its [budget](Run::budget) was not enough for another one.
    OverBudget(Error),
    /// It took no more records, because one has [failed](OnError::Stop): every record that was taken has its line.
    Failed(Error),
    /// It was told to [abort](Brake::abort), or the work around it was cancelled or out of time: not every record has a
    /// line, or has failed for no other reason.
    Aborted,
    /// Whoever read the output has had enough.
    NobodyReads,
    /// The input broke off; the records before that have their lines.
    InputFailed(Error),
    /// The output could not be written.
    OutputFailed(Error),
    /// The journal could not be written or read: no more records were taken, and those whose outcomes could not be kept
    /// have no line. When the run is resumed, they run again.
    JournalFailed(Error),
}

impl Ending {
    /// Its name in the journal, such as `complete`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Ending::Complete => "complete",
            Ending::Drained => "drained",
            Ending::Stopped(_) => "stopped",
            Ending::OverBudget(_) => "over_budget",
            Ending::Failed(_) => "failed",
            Ending::Aborted => "aborted",
            Ending::NobodyReads => "nobody_reads",
            Ending::InputFailed(_) => "input_failed",
            Ending::OutputFailed(_) => "output_failed",
            Ending::JournalFailed(_) => "journal_failed",
        }
    }

    /// The same for people, such as `interrupted`.
    pub fn in_words(&self) -> &'static str {
        in_words(self.as_str())
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// How it ended.
    pub ending: Ending,
    /// Records with an output.
    pub ok: u64,
    /// Records whose output is less than what was asked for; they are among the `ok`.
    pub degraded: u64,
    /// Records without an output.
    pub failed: u64,
    /// Of all these, records whose outcome an earlier session of the run has left; the others have run.
    pub replayed: u64,
    /// Records of the journal that are not in the input any more. Known only if all of the input was read.
    pub gone: u64,
    /// Records that were done again, in part or as a whole, because some of what the journal had of them could not be
    /// read.
    pub damaged: u64,
    /// Records that were under way when the run was stopped: they have no line.
    pub dropped: u64,
    /// Why they failed, by step and kind.
    pub failures: Failures,
    /// Records that were not taken, if the run was [stopped](Ending::Stopped).
    pub not_admitted: Option<NotAdmitted>,
    /// From start to end.
    pub took: Duration,
    /// What was written, and where it is; `None` if that is not known.
    pub written: Option<Written>,
    /// All this for readers, with where the time went.
    pub account: Account,
    /// The same of the lines of failed records, if they go [elsewhere](Run::errors).
    pub errors: Option<Written>,
}

impl Run {
    /// A run that keeps the order of the input, and as many records in flight as keep the steps busy.
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
            follow: false,
            rate: None,
            budget: Budget::unlimited(),
            errors: None,
            on_error: OnError::Row,
            journal: None,
            stop,
        }
    }

    /// Keeps at most so many records in flight. The default is what the limits of the steps add up to, and 16 for
    /// each step without one.
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

    /// Takes every record, whatever happens to those before it.
    ///
    /// By default, a run ends when credentials or money are missing: when 10 records in a row are
    /// [denied](llmspell::ErrorKind::Denied), or half of at least 20 within 30 s. The rest would fare no better, and what comes
    /// before that step may cost money.
    pub fn keep_going(mut self) -> Self {
        self.keep_going = true;
        self
    }

    /// Starts records no faster than this. Those that an earlier session has done do not count.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Takes no more records once there is not enough left for another one; what is in flight is finished. The run then
    /// ends with [`Ending::OverBudget`].
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Writes the lines of failed records there, and not among the others.
    pub fn errors(mut self, errors: Output) -> Self {
        self.errors = Some(errors);
        self
    }

    /// What becomes of a record that fails; the default is a line.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Keeps a journal, or goes on with the one of an earlier session: what is in it already is not done again.
    ///
    /// While it runs, the run does what it is [asked](crate::Journals::ask): `pause` takes no more records, `continue`
    /// takes them again, `drain` is [`Brake::drain`], `limit=N` and `rate=N/TIME` change how many records are in flight
    /// and how fast they start, `limit.STEP=N` and `rate.STEP=N/TIME` those of a step. Unless [`Run::limit`] or `limit=N`
    /// has said how many, more records are in flight when a step gets more.
    pub fn journal(mut self, journal: Journal) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Follows what goes on in each step, so that [`Progress::snapshot`] can tell. Costs about a tenth of a run whose
    /// steps do next to nothing.
    pub fn follow_steps(mut self) -> Self {
        self.follow = true;
        self
    }

    /// How far the run is, at any time.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// What stops the run.
    pub fn brake(&self) -> Brake {
        Brake(self.stop.clone())
    }

    /// Runs to the end. What happens is recorded by `cx`, if it records.
    pub async fn start(self, cx: &Context) -> Summary {
        let began = Instant::now();
        let Run {
            flow,
            mut input,
            output,
            limit,
            ordered,
            keep_going,
            rate,
            budget,
            errors,
            on_error,
            progress,
            follow,
            journal,
            stop,
        } = self;
        let recorded = cx;
        let cx = cx.with_stage_times();
        let cx = if follow { cx.with_sink(Follow(progress.clone())) } else { cx };
        input.form.fit(&flow);
        let (fingerprint, field): (_, Option<Arc<str>>) = (flow.fingerprint(), flow.key().map(Arc::from));
        let surely = !flow.kept_steps().is_empty();
        let name = flow.name().to_owned();
        let compiled = flow.compile();
        let tunables = compiled.tunables.clone();
        let told = limit;
        let limit = limit.unwrap_or_else(|| compiled.steps.info().default_in_flight).max(1);
        let opened = match journal {
            None => Ok(None),
            Some(journal) => {
                let field = field.clone();
                // A long one takes a while to look through.
                let opening = move |_| journal.start(fingerprint, field.as_deref());
                Context::new().blocking(opening).await.map(Some)
            }
        };
        let session = match opened {
            Ok(session) => session,
            Err(error) => {
                [Some(output), errors].into_iter().flatten().for_each(Output::discard);
                return Summary::nothing(Ending::JournalFailed(error), began.elapsed());
            }
        };
        let gate = Arc::new(Gate::new(progress.clone()));
        let (desk, matcher, ledger, tending) = match session {
            None => (None, None, None, None),
            Some(session) => {
                let desk = Desk { pen: session.pen.clone(), field, surely };
                let (matcher, ledger, tending) = ledger::open(session);
                (Some(desk), Some(matcher), Some(ledger), Some(tending))
            }
        };
        let (records, intake) = Records::new(input, matcher);
        let (lent, rest) = rest::lend(records, gate.clone());
        let passage = Passage::new(compiled, progress.clone(), intake.clone(), desk, rate.clone());
        let mut stream = passage.stream(lent, &cx).limit(limit).budget(budget);
        let in_flight = InFlight::new(stream.limit_handle(), told);
        let tending =
            tending.map(|tending| tending.run(Controls::new(tunables, in_flight, rate, gate.clone(), stop.clone())));
        let mut drain = stop.subscribe();
        let drained = progress.clone();
        let stream = stream.take_until(async move {
            reached(&mut drain, Stop::Drain).await;
            drained.stopping.store(true, Ordering::Relaxed);
            // What goes to its end is not paused.
            gate.set_shut(false);
        });
        let stream = if keep_going {
            stream
        } else {
            stream.breaker(Breaker::builder().on_denied().consecutive_failures(DENIED).build())
        };
        // Room for the outcomes behind a slow record, so that it does not hold up those after it.
        let stream = if ordered { stream.window((8 * limit).clamp(64, 4096)) } else { stream };
        let writers = Writers::new(output, errors, on_error);
        let mut course = Course::new(stream, rest, writers, intake, progress, ledger, stop.clone());
        let mut stopped = stop.subscribe();
        let running = async {
            let end = tokio::select! {
                biased;
                () = reached(&mut stopped, Stop::Abort) => End::Aborted,
                end = course.follow() => end,
            };
            let account = || Account::of(&name, recorded.report());
            course.finish(end, &mut stopped, began, recorded.is_cancelled(), account).await
        };
        match tending {
            None => running.await,
            // It ends when nobody writes any more, and that is after the end.
            Some(tending) => tokio::select! {
                summary = running => summary,
                never = tending => match never {},
            },
        }
    }
}

impl Summary {
    /// Of a run that took no record.
    fn nothing(ending: Ending, took: Duration) -> Self {
        let (failures, not_admitted, written, errors) = (Failures::default(), None, None, None);
        Summary {
            account: Account { ending: ending.as_str().to_owned(), took, ..Account::default() },
            ending,
            ok: 0,
            degraded: 0,
            failed: 0,
            replayed: 0,
            gone: 0,
            damaged: 0,
            dropped: 0,
            failures,
            not_admitted,
            took,
            written,
            errors,
        }
    }
}

/// Completes once so much of the run is no longer wanted.
async fn reached(stop: &mut watch::Receiver<Stop>, least: Stop) {
    if stop.wait_for(|now| *now >= least).await.is_err() {
        // Nobody can brake any more.
        std::future::pending::<()>().await;
    }
}
