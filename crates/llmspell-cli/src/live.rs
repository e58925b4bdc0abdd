//! How far a run is, on standard error: a frame on a terminal, sentences or JSON elsewhere.

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

use crate::args::Progress;
use crate::show;
use screen::Screen;

/// Shows a run while it goes on.
pub(crate) struct Live {
    face: Face,
    name: String,
    /// When it is shown the next time.
    due: Instant,
}

enum Face {
    Screen(Box<Screen>),
    Plain,
    Json,
    None,
}

/// How often somebody should ask whether it is time.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// How often a frame is drawn at the most, and sentences and JSON are written.
const FRAME: Duration = TICK;
const SENTENCE: Duration = Duration::from_secs(3);
const OBJECT: Duration = Duration::from_secs(1);

/// Looking at a run of very many calls takes time: it may have a twentieth of one core.
const SHARE: u32 = 20;

impl Live {
    /// `shared` tells that outcomes go to a terminal: a frame would be drawn over them, so there is none.
    pub(crate) fn new(how: Progress, name: &str, shared: bool) -> Self {
        let face = match how {
            Progress::None => Face::None,
            Progress::Json => Face::Json,
            Progress::Auto if !shared && can_draw() => Face::Screen(Box::default()),
            Progress::Auto | Progress::Plain => Face::Plain,
        };
        let mut live = Live { face, name: name.to_owned(), due: Instant::now() };
        live.due += live.every();
        live
    }

    /// Whether anything is shown of what the steps do.
    pub(crate) fn wants_steps(&self) -> bool {
        !matches!(self.face, Face::None)
    }

    fn every(&self) -> Duration {
        match self.face {
            Face::Screen(_) => FRAME,
            Face::Plain => SENTENCE,
            Face::Json => OBJECT,
            // Whenever that is, nothing is shown.
            Face::None => SENTENCE,
        }
    }

    /// Shows the run, if it is time; only then it is looked at.
    pub(crate) fn tick(&mut self, look: impl FnOnce() -> Snapshot) {
        let began = Instant::now();
        if matches!(self.face, Face::None) || began < self.due {
            return;
        }
        self.show(&look());
        let took = began.elapsed();
        // But never for long: the program may have been stopped while it looked.
        self.due = Instant::now() + self.every().max((took * SHARE).min(OBJECT)).saturating_sub(took.min(FRAME));
    }

    fn show(&mut self, now: &Snapshot) {
        match &mut self.face {
            Face::Screen(screen) => screen.draw(|size| frame::frame(&self.name, now, size)),
            Face::Plain => plain::sentences(&self.name, now).iter().for_each(|line| show::note(line)),
            Face::Json => show::object(now),
            Face::None => {}
        }
    }

    /// Says something without disturbing what is shown.
    pub(crate) fn say(&mut self, text: &str) {
        if let Face::Screen(screen) = &mut self.face {
            screen.clear();
        }
        match self.face {
            Face::Json => show::object(&serde_json::json!({ "notice": text })),
            _ => show::note(text),
        }
    }

    /// The run has ended: what was drawn is taken away, and readers of JSON get the last of it.
    pub(crate) fn end(&mut self, look: impl FnOnce() -> Snapshot) {
        match &mut self.face {
            Face::Screen(screen) => screen.clear(),
            Face::Json => show::object(&look()),
            Face::Plain | Face::None => {}
        }
    }
}

/// Whether standard error is a terminal that can move its cursor.
fn can_draw() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
