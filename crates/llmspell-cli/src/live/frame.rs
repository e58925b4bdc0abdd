//! What a terminal shows of a run: from a snapshot and a size to lines.

use llmspell_flow::Snapshot;

use super::line::{BAD, BOLD, DIM, GOOD, Line, PLAIN, WAITS};
use super::screen::Size;
use super::{items, steps};
use crate::show::{count, left, per_second};

/// Never wider than the terminal, and a line less than it is high.
pub(super) fn frame(name: &str, now: &Snapshot, size: Size) -> Vec<Line> {
    let height = size.height.saturating_sub(1).max(1);
    // A line that is full to its last cell wraps on some terminals.
    let width = size.width.saturating_sub(1).max(1);
    let mut lines = vec![head(name, now, width), detail(now, width)];
    let room = height.saturating_sub(lines.len());
    // The steps first, then those records that there is room for.
    let table = steps::table(now, width, room);
    let room = room - table.len();
    lines.extend(table);
    lines.extend(items::lines(name, now, width, room));
    lines.truncate(height);
    lines
}

/// `triage ━━━━━━╸───  61 %  1,901 done  3 failed  612/s  2 min left`.
fn head(name: &str, now: &Snapshot, width: usize) -> Line {
    let mut line = Line::default();
    line.cut((width / 3).max(8).min(width), BOLD, name);
    if let Some(share) = now.share() {
        let cells = if width >= 100 {
            24
        } else if width >= 60 {
            16
        } else {
            6
        };
        let (full, empty) = bar(share, cells);
        let percent = format!(" {:>3.0} %", (100.0 * share).floor());
        if line.fits(width.saturating_sub(cells + percent.len()), PLAIN, " ") {
            line.fits(width, GOOD, &full);
            line.fits(width, DIM, &empty);
            line.fits(width, PLAIN, &percent);
        }
    }
    line.fits(width, PLAIN, &format!("  {} done", count(now.done())));
    if now.failed > 0 {
        line.fits(width, BAD, &format!("  {} failed", count(now.failed)));
    }
    line.fits(width, PLAIN, &format!("  {}", per_second(now.rate)));
    match now.eta {
        Some(eta) => line.fits(width, PLAIN, &format!("  {} left", left(eta))),
        None => now.stopping && line.fits(width, WAITS, "  stopping"),
    };
    line
}

fn bar(share: f64, cells: usize) -> (String, String) {
    let halves = (share * 2.0 * cells as f64) as usize;
    let (full, half) = (halves / 2, halves % 2);
    ("━".repeat(full) + if half == 1 { "╸" } else { "" }, "─".repeat(cells - full - half))
}

/// `48 in flight (2 retrying)  12,300 tokens  14 × overloaded`: what is not zero, as far as there is room.
fn detail(now: &Snapshot, width: usize) -> Line {
    let mut line = Line::default();
    line.fits(width, PLAIN, &format!("{} in flight", count(now.in_flight as u64)));
    if now.retrying() > 0 {
        line.fits(width, WAITS, &format!(" ({} retrying)", count(now.retrying())));
    }
    let cost = if now.usage.cost > 0.0 { format!("cost {:.4}", now.usage.cost) } else { String::new() };
    let parts = [
        (WAITS, some(now.degraded, "degraded")),
        (WAITS, some(now.overloaded, "× overloaded")),
        (WAITS, some(now.refused, "refused")),
        (BAD, some(now.runaways, if now.runaways == 1 { "runaway" } else { "runaways" })),
        (PLAIN, some(now.usage.tokens(), "tokens")),
        (PLAIN, cost),
        (PLAIN, some(now.replayed, "replayed")),
        (PLAIN, some(now.hedges, if now.hedges == 1 { "second copy" } else { "second copies" })),
    ];
    for (style, part) in parts.iter().filter(|(_, part)| !part.is_empty()) {
        line.fits(width, *style, &format!("  {part}"));
    }
    line
}

fn some(number: u64, what: &str) -> String {
    if number == 0 { String::new() } else { format!("{} {what}", count(number)) }
}
