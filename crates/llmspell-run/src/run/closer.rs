//! The journal of a run while it runs: that it is written, that it is asked, and that it is closed.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use llmspell::Error;
use tokio::time::{MissedTickBehavior, interval};

use super::controls::Controls;
use super::ending::Ending;
use crate::journal::{Closing, Matcher, Pen, Session, Told};

/// How often the run looks whether it has been asked to do something.
const LOOKS: Duration = Duration::from_millis(200);

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

    /// How many records run again because some of what the journal had of them could not be read.
    pub(super) fn damaged(&self) -> u64 {
        self.told.damaged.load(Ordering::Relaxed)
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

/// What a session needs to be seen to while its run runs.
pub(super) struct Tending {
    pen: Pen,
    thread: crate::journal::Thread,
}

/// Takes a session apart: what knows its records, what closes it, and what sees to it.
pub(super) fn open(session: Session) -> (Matcher, Ledger, Tending) {
    let Session { pen, thread, matcher } = session;
    let ledger = Ledger { pen: pen.clone(), told: matcher.told() };
    (matcher, ledger, Tending { pen, thread })
}

impl Tending {
    /// Sees to it that the journal is written and the run does what it is asked to. Has no end.
    pub(super) async fn run(self, controls: Controls) -> Infallible {
        let Tending { pen, thread } = self;
        tokio::join!(written(thread), asked(&pen, &controls), failing(&pen, &controls), stopping(&pen, &controls)).0
    }
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
    controls.drain();
}

/// A run that goes to its end is not paused, whatever it was told before: those who look from outside see that, too.
async fn stopping(pen: &Pen, controls: &Controls) {
    controls.stopping().await;
    let _ = pen.stopping().await;
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
