//! Executing a prepared session: the run, its progress, signals and the deadline.

use std::time::Duration;

use llmspell::Context;
use llmspell_run::{Run, StopHandle, Summary};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::prepare::Prepared;
use super::summary::SessionSummary;
use crate::exit::Exit;
use crate::interrupt::{Interrupts, StopRequest};
use crate::ui::live::{Live, TICK};
use crate::ui::text::count_of;

impl Prepared {
    /// Runs to the end and closes what the session has opened.
    pub(super) fn execute(self) -> SessionSummary {
        let Prepared { args, flow, run_name, run, context, live, servers, interrupts, runtime } = self;
        let supervised = supervise(run, &context, live, interrupts, args.pace.deadline);
        let (summary, stopped_by) = runtime.block_on(supervised);
        runtime.block_on(servers.close());
        // A thread that reads standard input cannot be woken, and must not keep the process alive.
        runtime.shutdown_background();
        SessionSummary { args, flow, run_name, summary, stopped_by }
    }
}

/// Runs to the end, shows progress, and obeys signals and the deadline. Returns also the exit code of the request that
/// stopped the run, if that request has one of its own.
async fn supervise(
    run: Run,
    cx: &Context,
    mut live: Live,
    mut interrupts: Interrupts,
    deadline: Option<Duration>,
) -> (Summary, Option<Exit>) {
    let (progress, stop) = (run.progress(), run.stop_handle());
    let (mut interruptions, mut stopped_by) = (0, None);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alarm = std::pin::pin!(sleep(deadline.unwrap_or_default()));
    let mut running = std::pin::pin!(run.start(cx));
    loop {
        tokio::select! {
            // Signals first, so that a run that is always ready cannot delay them.
            biased;
            request = interrupts.next() => match request {
                StopRequest::Graceful => {
                    interruptions += 1;
                    interrupt(interruptions, &stop, &mut live, progress.snapshot().in_flight);
                }
                StopRequest::Immediate(exit) => {
                    stopped_by.get_or_insert(exit);
                    stop.abort();
                    live.note("stopping immediately");
                }
            },
            summary = &mut running => {
                live.end(|| progress.snapshot());
                return (summary, stopped_by);
            }
            () = &mut alarm, if deadline.is_some() && stopped_by.is_none() => {
                stopped_by = Some(Exit::Deadline);
                stop.abort();
                live.note("--deadline has passed: stopping immediately");
            }
            _ = ticks.tick() => live.tick(|| progress.snapshot()),
        }
    }
}

/// Drains the run at the first Ctrl-C, and aborts it at the second.
fn interrupt(interruptions: u32, stop: &StopHandle, live: &mut Live, in_flight: usize) {
    if interruptions == 1 {
        stop.drain();
        let records = count_of(in_flight as u64, "record");
        live.note(&format!("stopping: {records} in flight will finish; Ctrl-C again stops immediately"));
    } else {
        stop.abort();
        live.note("stopping immediately");
    }
}
