//! A line of a frame: pieces of text with a style each, never wider than the terminal.

use anstyle::{AnsiColor, Style};
use console::measure_text_width;

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const WAITS: Style = AnsiColor::Yellow.on_default();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();

#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pieces: Vec<(Style, String)>,
    width: usize,
}

impl Line {
    /// Adds a piece, and says whether there was room for all of it; if not, it is left out.
    pub(super) fn fits(&mut self, most: usize, style: Style, text: &str) -> bool {
        let text = crate::ui::show::harmless(text);
        let width = measure_text_width(&text);
        if self.width + width > most {
            return false;
        }
        self.width += width;
        self.pieces.push((style, text.into_owned()));
        true
    }

    /// Adds a piece, cut to what there is room for.
    pub(super) fn cut(&mut self, most: usize, style: Style, text: &str) {
        let room = most.saturating_sub(self.width);
        if room == 0 {
            return;
        }
        let text = crate::ui::show::harmless(text);
        let text = console::truncate_str(&text, room, "…").into_owned();
        self.width += measure_text_width(&text);
        self.pieces.push((style, text));
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The text, with its colours or without.
    pub(super) fn text(&self, colours: bool) -> String {
        let mut text = String::new();
        for (style, piece) in &self.pieces {
            if colours && *style != PLAIN {
                text.push_str(&format!("{style}{piece}{style:#}"));
            } else {
                text.push_str(piece);
            }
        }
        text
    }
}

/// A cell of a table: to the right, unless it is the first.
pub(super) fn padded(text: &str, width: usize, to_the_right: bool) -> String {
    let padding = " ".repeat(width.saturating_sub(measure_text_width(text)));
    if to_the_right { format!("{padding}{text}") } else { format!("{text}{padding}") }
}
