//! The journal of a run while it runs: that it is written, that it is asked, and that it is closed.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use llmspell::{Error, Limit};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::progress::Progress;
use super::rest::Gate;
use super::{Ending, Stop};
use crate::journal::{Closing, Matcher, Pen, Session, Told};

/// How often the run looks whether it has been asked to do something.
const LOOKS: Duration = Duration::from_millis(200);

/// What can be changed while a run runs.
pub(super) struct Controls {
    /// By the paths of their steps.
    pub(super) limits: Vec<(Arc<str>, Limit)>,
    /// How many records are in flight at most.
    pub(super) in_flight: usize,
    pub(super) gate: Arc<Gate>,
    pub(super) stop: watch::Sender<Stop>,
    pub(super) progress: Arc<Progress>,
}

/// What the end of a run needs of its journal.
pub(super) struct Ledger {
    pen: Pen,
    told: Arc<Told>,
}

impl Ledger {
    /// Why the journal cannot be written or read any more.
    pub(super) fn failure(&self) -> Option<Error> {
        self.pen.failure().or_else(|| self.told.failure.get().cloned())
    }

    /// Writes how the session ended; says how many records of the journal were not in the input.
    pub(super) async fn close(self, ending: Ending, closing: Closing) -> (Ending, u64) {
        let is_whole = matches!(ending, Ending::Complete);
        let gone = if is_whole { self.told.gone.load(Ordering::Relaxed) } else { 0 };
        match self.pen.close(closing).await {
            Ok(()) => (ending, gone),
            Err(error) if is_whole => (Ending::JournalFailed(error), gone),
            // What came before is what matters.
            Err(_) => (ending, gone),
        }
    }
}

/// Takes a session apart: what knows its records, what closes it, and what sees to it while the run runs.
pub(super) fn tend(session: Session, controls: Controls) -> (Matcher, Ledger, impl Future<Output = Infallible> + Send) {
    let Session { pen, thread, matcher } = session;
    let ledger = Ledger { pen: pen.clone(), told: matcher.told() };
    let tending = async move { tokio::join!(written(thread), asked(&pen, &controls), failing(&pen, &controls)).0 };
    (matcher, ledger, tending)
}

/// Lets the thread that writes begin, and run to its end.
async fn written(thread: crate::journal::Thread) -> Infallible {
    // Its failure is told to all who hold a pen.
    let _ = thread.await;
    std::future::pending().await
}

/// Takes no more records once nothing can be kept.
async fn failing(pen: &Pen, controls: &Controls) {
    pen.failed().await;
    controls.pause(false);
    controls.stop.send_modify(|now| *now = Stop::Drain.max(*now));
}

/// Does what the run is asked to.
async fn asked(pen: &Pen, controls: &Controls) {
    let mut looks = interval(LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Ok(commands) = pen.commands().await else { return };
        for command in commands {
            let answer = controls.obey(&command.text);
            if pen.answer(command.id, answer).await.is_err() {
                return;
            }
        }
    }
}

impl Controls {
    /// Does what a command says; tells what came of it.
    fn obey(&self, command: &str) -> String {
        match command.trim() {
            "pause" => {
                self.pause(true);
                "paused: no more records are taken; `llmspell runs continue` takes them again".to_owned()
            }
            "continue" => {
                self.pause(false);
                "going on".to_owned()
            }
            "drain" => {
                self.pause(false);
                self.stop.send_modify(|now| *now = Stop::Drain.max(*now));
                "stopping: what is in flight will be finished".to_owned()
            }
            other => match other.strip_prefix("limit.").and_then(|rest| rest.split_once('=')) {
                Some((step, calls)) => self.resize(step.trim(), calls.trim()),
                None => format!("error: unknown command `{other}`; there are: pause, continue, drain, limit.STEP=N"),
            },
        }
    }

    fn pause(&self, yes: bool) {
        self.gate.set_shut(yes);
        self.progress.paused.store(yes, Ordering::Relaxed);
    }

    fn resize(&self, step: &str, calls: &str) -> String {
        let Some((_, limit)) = self.limits.iter().find(|(path, _)| **path == *step) else {
            let known: Vec<_> = self.limits.iter().map(|(path, _)| &**path).collect();
            let known = if known.is_empty() { "none has one".to_owned() } else { known.join(", ") };
            return format!("error: no step `{step}` with a limit; there are: {known}");
        };
        match calls.parse() {
            Ok(calls @ 1..=1_000_000) => {
                let before = limit.calls().unwrap_or(calls);
                limit.resize(calls);
                let told = format!("limit.{step} = {calls}, was {before}");
                if calls <= self.in_flight {
                    return told;
                }
                let in_flight = self.in_flight;
                format!("{told}; but at most {in_flight} records are in flight: resume with --limit {calls} for more")
            }
            _ => format!("error: `{calls}` is no limit; give a number from 1 to 1000000"),
        }
    }
}
