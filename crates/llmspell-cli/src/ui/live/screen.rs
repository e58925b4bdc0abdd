//! Frames on a terminal, each drawn over the one before.
//!
//! Nothing of the terminal is changed, neither its modes nor the cursor's looks, so nothing has to be restored: not after
//! a panic, and not even after SIGKILL. Between two frames the cursor stands on the empty line below.

use std::io::{self, Write};

use anstream::ColorChoice;
use console::Term;
use tokio::time::Instant;

use super::line::Line;

/// Whoever has not drawn for so long may have been stopped.
const AWAY: std::time::Duration = std::time::Duration::from_millis(300);

pub(crate) struct Screen {
    /// The frame that stands there.
    drawn: Vec<Line>,
    text: String,
    size: Size,
    colours: bool,
    /// When it was last asked to draw.
    asked: Instant,
    #[cfg(unix)]
    continued: Option<tokio::signal::unix::Signal>,
}

/// Of the terminal, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Default for Screen {
    fn default() -> Self {
        Screen {
            drawn: Vec::new(),
            text: String::new(),
            size: Size { width: 80, height: 24 },
            asked: Instant::now(),
            colours: anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never,
            #[cfg(unix)]
            continued: continued(),
        }
    }
}

impl Screen {
    pub(super) fn draw(&mut self, frame: impl FnOnce(Size) -> Vec<Line>) {
        let (height, width) = Term::stderr().size();
        let size = Size { width: usize::from(width), height: usize::from(height) };
        if self.was_away() {
            // Others have written since; what stood there is theirs.
            self.drawn.clear();
            self.text.clear();
        } else if self.asked.elapsed() > AWAY {
            // It may have been stopped, and the signal that it goes on be under way: it has until the next frame.
            self.asked = Instant::now();
            return;
        }
        self.asked = Instant::now();
        let lines = frame(size);
        let text: String = lines.iter().map(|line| format!("{}\x1b[K\r\n", line.text(self.colours))).collect();
        if text == self.text && size == self.size {
            return;
        }
        // Drawn at once, where the terminal can (mode 2026), and over what is there: so nothing flickers.
        put(&format!("\x1b[?2026h{}{text}\x1b[J\x1b[?2026l", self.up(size.width)));
        (self.drawn, self.text, self.size) = (lines, text, size);
    }

    /// Takes the frame away.
    pub(super) fn clear(&mut self) {
        if self.drawn.is_empty() {
            return;
        }
        let (_, width) = Term::stderr().size();
        put(&format!("{}\x1b[J", self.up(usize::from(width))));
        self.drawn.clear();
        self.text.clear();
    }

    /// Back to where the frame begins. A terminal that has become narrower has broken its lines.
    fn up(&self, width: usize) -> String {
        let rows: usize = self.drawn.iter().map(|line| line.width().div_ceil(width.max(1)).max(1)).sum();
        if rows == 0 { "\r".to_owned() } else { format!("\r\x1b[{rows}A") }
    }

    /// Whether the program was stopped and goes on.
    #[cfg(unix)]
    fn was_away(&mut self) -> bool {
        let Some(continued) = &mut self.continued else { return false };
        continued.poll_recv(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[cfg(not(unix))]
    fn was_away(&mut self) -> bool {
        false
    }
}

#[cfg(unix)]
fn continued() -> Option<tokio::signal::unix::Signal> {
    use tokio::signal::unix::{SignalKind, signal};
    let _entered = tokio::runtime::Handle::try_current().ok()?;
    signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw())).ok()
}

/// In one piece. A terminal that is gone changes nothing.
fn put(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
