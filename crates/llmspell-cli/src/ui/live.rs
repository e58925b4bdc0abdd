//! Progress of a running run on standard error: frames on a terminal, sentences or JSON elsewhere.

mod frame;
mod items;
mod line;
mod plain;
mod screen;
mod steps;

use std::io::IsTerminal;
use std::time::Duration;

use llmspell_run::Snapshot;
use tokio::time::Instant;

use crate::options::args::Progress;
use crate::ui::terminal;
use screen::Screen;

/// The live view of a run.
pub(crate) struct Live {
    view: View,
    /// The name of the flow.
    name: String,
    /// When the view is updated next.
    due: Instant,
}

enum View {
    Screen(Box<Screen>),
    Plain,
    Json,
    None,
}

/// The interval at which [`Live::tick`] must be called.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The shortest interval between two frames, sentences and objects.
const FRAME_INTERVAL: Duration = TICK;
const SENTENCE_INTERVAL: Duration = Duration::from_secs(3);
const OBJECT_INTERVAL: Duration = Duration::from_secs(1);

/// A snapshot of a run with very many calls takes time. It may use this share of one core: a twentieth.
const SNAPSHOT_SHARE: u32 = 20;

impl Live {
    /// `is_shared` means that outcomes go to the same terminal. A frame would be drawn over them, so sentences are
    /// printed instead.
    pub(crate) fn new(progress: Progress, name: &str, is_shared: bool) -> Self {
        let view = match progress {
            Progress::None => View::None,
            Progress::Json => View::Json,
            Progress::Auto if !is_shared && can_draw() => View::Screen(Box::default()),
            Progress::Auto | Progress::Plain => View::Plain,
        };
        let mut live = Live { view, name: name.to_owned(), due: Instant::now() };
        live.due += live.interval();
        live
    }

    /// Returns whether the view shows steps.
    pub(crate) fn shows_steps(&self) -> bool {
        !matches!(self.view, View::None)
    }

    fn interval(&self) -> Duration {
        match self.view {
            View::Screen(_) => FRAME_INTERVAL,
            View::Plain => SENTENCE_INTERVAL,
            View::Json => OBJECT_INTERVAL,
            // Any value will do, because nothing is shown.
            View::None => SENTENCE_INTERVAL,
        }
    }

    /// Updates the view if it is due. The snapshot is taken only then.
    pub(crate) fn tick(&mut self, snapshot: impl FnOnce() -> Snapshot) {
        let began = Instant::now();
        if matches!(self.view, View::None) || began < self.due {
            return;
        }
        self.update(&snapshot());
        let took = began.elapsed();
        // The pause is bounded, because the program may have been stopped by a signal during the snapshot.
        let pause = (took * SNAPSHOT_SHARE).min(OBJECT_INTERVAL);
        self.due = Instant::now() + self.interval().max(pause).saturating_sub(took.min(FRAME_INTERVAL));
    }

    fn update(&mut self, now: &Snapshot) {
        match &mut self.view {
            View::Screen(screen) => screen.draw(|size| frame::frame(&self.name, now, size)),
            View::Plain => plain::sentences(&self.name, now).iter().for_each(|line| terminal::note(line)),
            View::Json => terminal::object(now),
            View::None => {}
        }
    }

    /// Prints a note without disturbing the view.
    pub(crate) fn note(&mut self, text: &str) {
        if let View::Screen(screen) = &mut self.view {
            screen.clear();
        }
        match self.view {
            View::Json => terminal::object(&serde_json::json!({ "notice": text })),
            _ => terminal::note(text),
        }
    }

    /// Ends the view: a frame is removed, and readers of JSON get the last snapshot.
    pub(crate) fn end(&mut self, snapshot: impl FnOnce() -> Snapshot) {
        match &mut self.view {
            View::Screen(screen) => screen.clear(),
            View::Json => terminal::object(&snapshot()),
            View::Plain | View::None => {}
        }
    }
}

/// Returns whether standard error is a terminal that can move its cursor.
fn can_draw() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
