//! Runs: a flow over a stream of records, one line of output for each.

mod closer;
mod controls;
mod ending;
mod processor;
mod remaining;
mod run_loop;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use llmspell::{Breaker, Budget, Context, Rate, Step};
use llmspell_flow::Flow;
use tokio::sync::watch;
use tokio::time::Instant;

pub use ending::{Brake, Ending, Summary};
pub use remaining::NotAdmitted;

use crate::input::{Input, Records};
use crate::journal::Journal;
use crate::output::{OnError, Output, Writers};
use crate::progress::{Follow, Progress, Total};
use crate::report::Account;
use controls::{Controls, InFlight};
use ending::{Stop, reached};
use processor::{Desk, Passage};
use remaining::Gate;
use run_loop::{Course, End};

/// A flow, the records to run it over, and where the outcomes go.
///
/// ```
/// use llmspell::Context;
/// use llmspell_flow::{Flow, Source, Toolbox};
/// use llmspell_run::{Ending, Input, Output, Run};
/// use llmspell_tools::Permissions;
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

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("flow", &self.flow).field("input", &self.input).finish_non_exhaustive()
    }
}

/// So many records in a row that were denied end a run. More than the breaker's own 3: of a list of addresses, a few
/// neighbours may well want a password.
const DENIED: u64 = 10;

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
        let surely = !flow.journaled_steps().is_empty();
        let name = flow.name().to_owned();
        let compiled = flow.compile();
        let tunables = compiled.tunables().to_vec();
        let told = limit;
        let limit = limit.unwrap_or_else(|| compiled.default_in_flight()).max(1);
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
                let (matcher, ledger, tending) = closer::open(session);
                (Some(desk), Some(matcher), Some(ledger), Some(tending))
            }
        };
        let (records, intake) = Records::new(input, matcher);
        let (lent, rest) = remaining::lend(records, gate.clone());
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
