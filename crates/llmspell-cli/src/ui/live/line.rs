//! A line of a frame: styled pieces of text, never wider than the terminal.

use anstyle::{AnsiColor, Style};
use console::measure_text_width;

use crate::ui::terminal::escape_controls;

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const WAITING: Style = AnsiColor::Yellow.on_default();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();

/// A line of a frame.
#[derive(Clone, Debug, Default)]
pub(super) struct StyledLine {
    pieces: Vec<(Style, String)>,
    width: usize,
}

impl StyledLine {
    /// Appends a piece if the line then has at most `max` cells. Returns whether it was appended.
    pub(super) fn push_if_fits(&mut self, max: usize, style: Style, text: &str) -> bool {
        let text = escape_controls(text);
        let width = measure_text_width(&text);
        if self.width + width > max {
            return false;
        }
        self.width += width;
        self.pieces.push((style, text.into_owned()));
        true
    }

    /// Appends a piece, cut so that the line has at most `max` cells.
    pub(super) fn push_truncated(&mut self, max: usize, style: Style, text: &str) {
        let room = max.saturating_sub(self.width);
        if room == 0 {
            return;
        }
        let text = escape_controls(text);
        let text = console::truncate_str(&text, room, "…").into_owned();
        self.width += measure_text_width(&text);
        self.pieces.push((style, text));
    }

    /// Returns the width in cells.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Returns the text, with or without its colours.
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

/// Pads a cell of a table on its right.
pub(super) fn pad_right(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(measure_text_width(text))))
}

/// Pads a cell of a table on its left.
pub(super) fn pad_left(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(measure_text_width(text))))
}
