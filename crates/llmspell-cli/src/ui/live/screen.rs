//! Frames on a terminal, each drawn over the previous one.
//!
//! The screen changes neither the modes of the terminal nor the look of the cursor. Nothing must be restored, not even
//! after a panic or SIGKILL. Between two frames the cursor is on the empty line below the frame.

use std::io::{self, Write};

use anstream::ColorChoice;
use console::Term;
use tokio::time::Instant;

use super::line::StyledLine;

/// After a gap of this length between two frames, the program may have been stopped by a signal.
const SUSPECTED_STOP: std::time::Duration = std::time::Duration::from_millis(300);

/// The frame on the terminal.
pub(crate) struct Screen {
    /// The lines of the current frame.
    drawn: Vec<StyledLine>,
    text: String,
    size: Size,
    colours: bool,
    /// The last call of `draw`.
    last_draw: Instant,
    #[cfg(unix)]
    continued: Option<tokio::signal::unix::Signal>,
}

/// The size of a terminal, in cells.
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
            last_draw: Instant::now(),
            colours: anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never,
            #[cfg(unix)]
            continued: continued(),
        }
    }
}

impl Screen {
    /// Draws the next frame, unless it equals the current one.
    pub(super) fn draw(&mut self, frame: impl FnOnce(Size) -> Vec<StyledLine>) {
        let (height, width) = Term::stderr().size();
        let size = Size { width: usize::from(width), height: usize::from(height) };
        if self.was_continued() {
            // Other programs have written since, so the frame is no longer at the cursor.
            self.drawn.clear();
            self.text.clear();
        } else if self.last_draw.elapsed() > SUSPECTED_STOP {
            // The program may have been stopped, and SIGCONT may not have arrived yet. It has time until the next frame.
            self.last_draw = Instant::now();
            return;
        }
        self.last_draw = Instant::now();
        let lines = frame(size);
        let text: String = lines.iter().map(|line| format!("{}\x1b[K\r\n", line.text(self.colours))).collect();
        if text == self.text && size == self.size {
            return;
        }
        // Drawn over the old frame, and atomically where the terminal supports it (mode 2026), so that nothing flickers.
        write(&format!("\x1b[?2026h{}{text}\x1b[J\x1b[?2026l", self.cursor_to_start(size.width)));
        (self.drawn, self.text, self.size) = (lines, text, size);
    }

    /// Removes the frame.
    pub(super) fn clear(&mut self) {
        if self.drawn.is_empty() {
            return;
        }
        let (_, width) = Term::stderr().size();
        write(&format!("{}\x1b[J", self.cursor_to_start(usize::from(width))));
        self.drawn.clear();
        self.text.clear();
    }

    /// Returns the sequence that moves the cursor to the start of the frame. A terminal that was made narrower has
    /// wrapped its lines.
    fn cursor_to_start(&self, width: usize) -> String {
        let rows: usize = self.drawn.iter().map(|line| line.width().div_ceil(width.max(1)).max(1)).sum();
        if rows == 0 { "\r".to_owned() } else { format!("\r\x1b[{rows}A") }
    }

    /// Returns whether the program was stopped by a signal and continued since the last call.
    #[cfg(unix)]
    fn was_continued(&mut self) -> bool {
        let Some(continued) = &mut self.continued else { return false };
        continued.poll_recv(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[cfg(not(unix))]
    fn was_continued(&mut self) -> bool {
        false
    }
}

#[cfg(unix)]
fn continued() -> Option<tokio::signal::unix::Signal> {
    use tokio::signal::unix::{SignalKind, signal};
    let _entered = tokio::runtime::Handle::try_current().ok()?;
    signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw())).ok()
}

/// Writes the text in one call. A closed terminal is ignored.
fn write(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
