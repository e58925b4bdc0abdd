//! Connects the parts of a run, and drives them to the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use llmspell::pattern::stream::Streaming;
use llmspell::{Breaker, Context, Step};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Run;
use super::controls::{Controls, InFlightLimit};
use super::finish::FinishContext;
use super::processor::RecordProcessor;
use super::remaining::{self, PauseGate};
use super::run_end::{Stop, Summary, wait_for_stop};
use super::run_loop::{LoopEnd, RunLoop};
use super::session::{JournalMaintenance, Session};
use crate::output::Writers;
use crate::progress::{Progress, ProgressSink};
use crate::report::RunReport;

/// The number of consecutive denied records that ends a run. Higher than the breaker's own 3, because a few neighbours
/// in a list of addresses may well require a password.
const MAX_CONSECUTIVE_DENIED: u64 = 10;

/// A run whose parts are connected: source, flow, output and journal.
pub(super) struct Pipeline<'a> {
    run_loop: RunLoop,
    /// `None` without a journal.
    maintenance: Option<(JournalMaintenance, Controls)>,
    stop: watch::Sender<Stop>,
    flow_name: String,
    began: Instant,
    /// The context of the caller, which may record.
    cx: &'a Context,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(run: Run, mut session: Session, began: Instant, cx: &'a Context) -> Self {
        let flow_name = run.flow.name().to_owned();
        let compiled = run.flow.compile();
        let tunables = compiled.tunables().to_vec();
        let limit = run.limit.unwrap_or_else(|| compiled.default_in_flight()).max(1);
        let gate = Arc::new(PauseGate::new(run.progress.clone()));
        let (records, tracker) = session.read(run.input);
        let (source, remaining) = remaining::reclaimable(records, gate.clone());
        let processor =
            RecordProcessor::new(compiled, run.progress.clone(), tracker.clone(), session.handle(), run.rate.clone());
        let step_cx = cx.with_stage_times();
        let step_cx = if run.follow_steps { step_cx.with_sink(ProgressSink(run.progress.clone())) } else { step_cx };
        let mut stream = processor.stream(source, &step_cx).limit(limit).budget(run.budget);
        let in_flight = InFlightLimit::new(stream.limit_handle(), run.limit);
        let stream = stop_on_drain(stream, &run.stop, run.progress.clone(), gate.clone());
        let stream = match run.keep_going {
            true => stream,
            false => {
                stream.breaker(Breaker::builder().on_denied().consecutive_failures(MAX_CONSECUTIVE_DENIED).build())
            }
        };
        // Outcomes wait here behind a slow record, so that it does not block the records after it.
        let stream = if run.ordered { stream.window((8 * limit).clamp(64, 4096)) } else { stream };
        let writers = Writers::new(run.output, run.errors, run.on_error);
        let (closer, maintenance) = session.into_parts().unzip();
        let controls = || Controls::new(tunables, in_flight, run.rate, gate, run.stop.clone());
        Pipeline {
            maintenance: maintenance.map(|maintenance| (maintenance, controls())),
            run_loop: RunLoop::new(stream, remaining, writers, tracker, run.progress, closer, run.stop.clone()),
            stop: run.stop,
            flow_name,
            began,
            cx,
        }
    }

    /// Runs to the end.
    pub(super) async fn run(self) -> Summary {
        let Pipeline { mut run_loop, maintenance, stop, flow_name, began, cx } = self;
        let mut stop = stop.subscribe();
        let running = async {
            let end = tokio::select! {
                biased;
                () = wait_for_stop(&mut stop, Stop::Abort) => LoopEnd::Aborted,
                end = run_loop.drive() => end,
            };
            let context = FinishContext { began, is_cancelled: cx.is_cancelled() };
            run_loop.finish(end, &mut stop, context, || RunReport::of(&flow_name, cx.report())).await
        };
        match maintenance {
            None => running.await,
            // The writer's thread ends when its last handle is dropped, and that is after the end of the run.
            Some((maintenance, controls)) => tokio::select! {
                summary = running => summary,
                never = maintenance.run(controls) => match never {},
            },
        }
    }
}

/// Ends the stream's input once the run is draining.
fn stop_on_drain(
    stream: Streaming<RecordProcessor>,
    stop: &watch::Sender<Stop>,
    progress: Arc<Progress>,
    gate: Arc<PauseGate>,
) -> Streaming<RecordProcessor> {
    let mut stop = stop.subscribe();
    stream.take_until(async move {
        wait_for_stop(&mut stop, Stop::Drain).await;
        progress.stopping.store(true, Ordering::Relaxed);
        // A run that is ending is not paused.
        gate.set_paused(false);
    })
}
