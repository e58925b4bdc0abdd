//! Runs: a flow over a stream of records, one line of output for each.

pub(crate) mod at_once;
mod course;
mod failures;
mod identity;
mod input;
mod lines;
mod outcome_line;
mod output;
mod place;
mod progress;
mod records;
mod rest;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use llmspell::{Breaker, Context, Error, Step};
use tokio::sync::watch;
use tokio::time::Instant;

pub use failures::{FailureGroup, Failures};
pub use input::Input;
pub use output::{Output, Written};
pub use progress::{Progress, Snapshot};
pub use rest::NotAdmitted;

use crate::flow::Flow;
use course::{Course, End, of_lines};
use progress::RetryWatch;
use records::Records;
use writer::Writer;

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
    progress: Arc<Progress>,
    stop: watch::Sender<Stop>,
}

/// So many records in a row that were denied end a run. More than the breaker's own 3: of a list of addresses, a few
/// neighbours may well want a password.
const DENIED: u64 = 10;

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
    /// Takes no more records, and finishes those in flight. Steps that wait to retry make no further attempt.
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
    /// It took no more records, because the last ones were [denied](llmspell::Kind::Denied): every record that was
    /// taken has its line, and [`Summary::not_admitted`] tells of the others.
    Stopped(Error),
    /// It was told to [abort](Brake::abort): records in flight have no line.
    Aborted,
    /// Whoever read the output has had enough.
    NobodyReads,
    /// The input broke off; the records before that have their lines.
    InputFailed(Error),
    /// The output could not be written.
    OutputFailed(Error),
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
    /// Why they failed, by step and kind.
    pub failures: Failures,
    /// Records that were not taken, if the run was [stopped](Ending::Stopped).
    pub not_admitted: Option<NotAdmitted>,
    /// From start to end.
    pub took: Duration,
    /// What was written, and where it is; `None` if that is not known.
    pub written: Option<Written>,
}

impl Run {
    /// A run that keeps the order of the input, and as many records in flight as keep the steps busy.
    pub fn new(flow: Flow, input: Input, output: Output) -> Self {
        let (stop, _) = watch::channel(Stop::No);
        Run { flow, input, output, limit: None, ordered: true, keep_going: false, progress: Arc::default(), stop }
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
    /// [denied](llmspell::Kind::Denied), or half of at least 20 within 30 s. The rest would fare no better, and what comes
    /// before that step may cost money.
    pub fn keep_going(mut self) -> Self {
        self.keep_going = true;
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
        let progress = self.progress.clone();
        let cx = cx.with_sink(RetryWatch::new(progress.clone()));
        let flow = self.flow.into_step();
        let limit = self.limit.unwrap_or_else(|| flow.about().default_in_flight).max(1);
        let (records, intake) = Records::new(self.input);
        let (lent, rest) = rest::lend(records);
        let stream = of_lines(flow, progress.clone(), intake.clone()).stream(lent, &cx).limit(limit);
        let mut drain = self.stop.subscribe();
        let stream = stream.take_until(async move { reached(&mut drain, Stop::Drain).await });
        let stream = if self.keep_going { stream } else { stream.breaker(Breaker::storms().in_a_row(DENIED)) };
        // Room for the outcomes behind a slow record, so that it does not hold up those after it.
        let stream = if self.ordered { stream.window((8 * limit).clamp(64, 4096)) } else { stream };
        let writer = Writer::new(self.output);
        let mut course = Course::new(stream, rest, writer, intake, progress);
        let mut stop = self.stop.subscribe();
        let end = tokio::select! {
            biased;
            () = reached(&mut stop, Stop::Abort) => End::Aborted,
            end = course.follow() => end,
        };
        course.finish(end, &mut stop, began).await
    }
}

/// Completes once so much of the run is no longer wanted.
async fn reached(stop: &mut watch::Receiver<Stop>, least: Stop) {
    if stop.wait_for(|now| *now >= least).await.is_err() {
        // Nobody can brake any more.
        std::future::pending::<()>().await;
    }
}
