//! The records that have been on their way for the longest time, and what holds them up.

use llmspell::WaitKind;
use llmspell_run::{InStep, Snapshot, Waiting};

use super::line::{DIM, Line, PLAIN, WAITS, padded};
use crate::show::time;

/// One line for each, as many as there is room for.
pub(super) fn lines(flow: &str, now: &Snapshot, width: usize, room: usize) -> Vec<Line> {
    let shown: Vec<&InStep> = now.oldest.iter().take(room).collect();
    let ids: Vec<String> = shown.iter().map(|item| item.record.map_or(String::new(), |n| format!("#{n}"))).collect();
    let paths: Vec<&str> = shown.iter().map(|item| within(flow, &item.path)).collect();
    let widest = |cells: &[String]| cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let id_width = widest(&ids);
    let path_width = paths.iter().map(|path| path.chars().count()).max().unwrap_or(0).min(width / 3);
    let mut lines = Vec::new();
    for ((item, id), path) in shown.into_iter().zip(&ids).zip(paths) {
        let mut line = Line::default();
        line.cut(width, DIM, &format!("  {}  ", padded(id, id_width, true)));
        let end = line.width() + path_width;
        line.cut(end.min(width), PLAIN, path);
        line.fits(width, PLAIN, &" ".repeat(end.saturating_sub(line.width())));
        line.fits(width, PLAIN, &format!("  {:>7}", time(item.time)));
        if let Some(why) = waits(item) {
            line.cut(width, WAITS, &format!("  {why}"));
        }
        lines.push(line);
    }
    lines
}

/// The path without the name of the flow, which stands above.
fn within<'a>(flow: &str, path: &'a str) -> &'a str {
    path.strip_prefix(flow).and_then(|rest| rest.strip_prefix('.')).unwrap_or(path)
}

/// What a record waits for, or that it is not at its first attempt.
pub(super) fn waits(item: &InStep) -> Option<String> {
    match item.waiting {
        Some(Waiting::Attempt { after, .. }) => Some(format!("attempt {} in {}", item.attempt, time(after))),
        Some(Waiting::InLine { queue, time: since, .. }) => {
            let what = match queue {
                WaitKind::Limit => "its limit",
                WaitKind::Rate => "its rate",
                WaitKind::Budget => "its budget",
                _ => "its turn",
            };
            Some(format!("waits for {what} since {}", time(since)))
        }
        Some(_) => Some("waits".to_owned()),
        None if item.attempt > 1 => Some(format!("attempt {}", item.attempt)),
        None => None,
    }
}
