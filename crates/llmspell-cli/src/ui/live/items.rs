//! The oldest records in flight, and what they wait for.

use llmspell::observe::WaitKind;
use llmspell_run::{InStep, Snapshot, Waiting};

use super::line::{DIM, PLAIN, StyledLine, WAITING, pad_left};
use crate::ui::text::duration;

/// Returns one line per record, at most `height` lines.
pub(super) fn lines(flow: &str, now: &Snapshot, width: usize, height: usize) -> Vec<StyledLine> {
    let shown: Vec<&InStep> = now.oldest.iter().take(height).collect();
    let ids: Vec<String> = shown.iter().map(|item| item.record.map_or(String::new(), |n| format!("#{n}"))).collect();
    let paths: Vec<&str> = shown.iter().map(|item| without_flow(flow, &item.path)).collect();
    let widest = |cells: &[String]| cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let id_width = widest(&ids);
    let path_width = paths.iter().map(|path| path.chars().count()).max().unwrap_or(0).min(width / 3);
    let mut lines = Vec::new();
    for ((item, id), path) in shown.into_iter().zip(&ids).zip(paths) {
        let mut line = StyledLine::default();
        line.push_truncated(width, DIM, &format!("  {}  ", pad_left(id, id_width)));
        let end = line.width() + path_width;
        line.push_truncated(end.min(width), PLAIN, path);
        line.push_if_fits(width, PLAIN, &" ".repeat(end.saturating_sub(line.width())));
        line.push_if_fits(width, PLAIN, &format!("  {:>7}", duration(item.time)));
        if let Some(state) = state(item) {
            line.push_truncated(width, WAITING, &format!("  {state}"));
        }
        lines.push(line);
    }
    lines
}

/// Returns the path without the name of the flow, which stands above.
fn without_flow<'a>(flow: &str, path: &'a str) -> &'a str {
    path.strip_prefix(flow).and_then(|rest| rest.strip_prefix('.')).unwrap_or(path)
}

/// Returns what a record waits for, or the number of its attempt if that is not the first.
fn state(item: &InStep) -> Option<String> {
    match item.waiting {
        Some(Waiting::Attempt { after, .. }) => Some(format!("attempt {} in {}", item.attempt, duration(after))),
        Some(Waiting::InLine { queue, time, .. }) => {
            let queue = match queue {
                WaitKind::Limit => "its limit",
                WaitKind::Rate => "its rate",
                WaitKind::Budget => "its budget",
                _ => "its turn",
            };
            Some(format!("has waited {} for {queue}", duration(time)))
        }
        Some(_) => Some("waiting".to_owned()),
        None if item.attempt > 1 => Some(format!("attempt {}", item.attempt)),
        None => None,
    }
}
