//! The journal of a run while it runs: opened, written, polled for commands, and closed.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use llmspell::{Context, Error, Result};
use llmspell_flow::Flow;
use tokio::time::{MissedTickBehavior, interval};

use super::controls::Controls;
use super::processor::JournalHandle;
use super::run_end::RunEnd;
use crate::input::{Input, InputTracker, Records};
use crate::journal::{Journal, JournalSession, JournalWriter, MatchStats, RecordMatcher, SessionEnd, WriterThread};

/// How often the run polls the journal for commands.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A session of a run, with a journal or without.
pub(super) enum Session {
    Unjournaled,
    Journaled(Box<JournaledSession>),
}

/// The parts of a session with a journal.
pub(super) struct JournaledSession {
    /// `None` once the reader of the input has it.
    matcher: Option<RecordMatcher>,
    handle: JournalHandle,
    closer: JournalCloser,
    maintenance: JournalMaintenance,
}

impl Session {
    /// Begins a session in the journal, if there is one.
    pub(super) async fn open(journal: Option<Journal>, flow: &Flow) -> Result<Self> {
        let Some(journal) = journal else { return Ok(Session::Unjournaled) };
        let (fingerprint, field): (_, Option<Arc<str>>) = (flow.fingerprint(), flow.key().map(Arc::from));
        let durable = !flow.journaled_steps().is_empty();
        let key = field.clone();
        // Opening a long journal takes a while, so it must not block the runtime.
        let opening = move |_| journal.start(fingerprint, key.as_deref());
        let JournalSession { writer, thread, matcher } = Context::new().blocking(opening).await?;
        Ok(Session::Journaled(Box::new(JournaledSession {
            handle: JournalHandle { writer: writer.clone(), field, durable },
            closer: JournalCloser { writer: writer.clone(), stats: matcher.stats() },
            maintenance: JournalMaintenance { writer, thread },
            matcher: Some(matcher),
        })))
    }

    /// Reads the input; each record is matched with the journal.
    pub(super) fn read(&mut self, input: Input) -> (Records, Arc<InputTracker>) {
        let matcher = match self {
            Session::Unjournaled => None,
            Session::Journaled(session) => session.matcher.take(),
        };
        Records::new(input, matcher)
    }

    /// Returns the handle that records are journaled with.
    pub(super) fn handle(&self) -> Option<JournalHandle> {
        match self {
            Session::Unjournaled => None,
            Session::Journaled(session) => Some(session.handle.clone()),
        }
    }

    /// Returns the part that closes the journal, and the part that serves it until then.
    pub(super) fn into_parts(self) -> Option<(JournalCloser, JournalMaintenance)> {
        match self {
            Session::Unjournaled => None,
            Session::Journaled(session) => Some((session.closer, session.maintenance)),
        }
    }
}

/// The part of a session that the end of a run needs.
pub(super) struct JournalCloser {
    writer: JournalWriter,
    stats: Arc<MatchStats>,
}

impl JournalCloser {
    /// Returns the error because of which the journal cannot be written or read any more.
    pub(super) fn failure(&self) -> Option<Error> {
        self.writer.failure().or_else(|| self.stats.failure.get().cloned())
    }

    /// Returns the number of records that run again because their journal rows were damaged.
    pub(super) fn damaged(&self) -> u64 {
        self.stats.damaged.load(Ordering::Relaxed)
    }

    /// Writes how the session ended; returns the number of journaled records that were not in the input.
    pub(super) async fn close(self, run_end: RunEnd, session_end: SessionEnd) -> (RunEnd, u64) {
        let is_complete = matches!(run_end, RunEnd::Complete);
        let gone = if is_complete { self.stats.gone.load(Ordering::Relaxed) } else { 0 };
        match self.writer.close(session_end).await {
            Ok(()) => (run_end, gone),
            Err(error) if is_complete => (RunEnd::JournalFailed(error), gone),
            // The first cause of the end is the one to report.
            Err(_) => (run_end, gone),
        }
    }
}

/// The work on the journal that must go on while its run goes on.
pub(super) struct JournalMaintenance {
    writer: JournalWriter,
    thread: WriterThread,
}

impl JournalMaintenance {
    /// Keeps the journal written and executes the commands sent to the run. Never completes.
    pub(super) async fn run(self, controls: Controls) -> Infallible {
        let JournalMaintenance { writer, thread } = self;
        let serving = serve_commands(&writer, &controls);
        let (draining, stopping) = (drain_on_failure(&writer, &controls), mark_stopping(&writer, &controls));
        tokio::join!(drive_writer(thread), serving, draining, stopping).0
    }
}

/// Starts the writer's thread, and waits until it ends.
async fn drive_writer(thread: WriterThread) -> Infallible {
    // Every writer handle reports the failure of the thread.
    let _ = thread.await;
    std::future::pending().await
}

/// Reads no more records once nothing can be journaled.
async fn drain_on_failure(writer: &JournalWriter, controls: &Controls) {
    writer.failed().await;
    controls.drain();
}

/// Cancels an earlier `pause` in the journal once the run is ending, so that readers of the journal do not show a run
/// that is ending as paused.
async fn mark_stopping(writer: &JournalWriter, controls: &Controls) {
    controls.until_draining().await;
    let _ = writer.mark_stopping().await;
}

/// Executes the commands that are sent to the run.
async fn serve_commands(writer: &JournalWriter, controls: &Controls) {
    let mut polls = interval(POLL_INTERVAL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        polls.tick().await;
        let Ok(commands) = writer.commands().await else { return };
        for command in commands {
            let answer = controls.execute(&command.text);
            if writer.answer(command.id, answer).await.is_err() {
                return;
            }
        }
    }
}
