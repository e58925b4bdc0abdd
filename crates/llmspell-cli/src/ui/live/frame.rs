//! A frame: what a terminal shows of a run, as lines.

use llmspell_run::Snapshot;

use super::line::{BAD, BOLD, DIM, GOOD, PLAIN, StyledLine, WAITING};
use super::screen::Size;
use super::{items, steps};
use crate::ui::text::{count, per_second, rough_duration};

/// Returns the lines of a frame. They are narrower than the terminal, and one line fewer than its height.
pub(super) fn frame(name: &str, now: &Snapshot, size: Size) -> Vec<StyledLine> {
    let height = size.height.saturating_sub(1).max(1);
    // Some terminals wrap a line that is full to its last cell.
    let width = size.width.saturating_sub(1).max(1);
    let mut lines = vec![head(name, now, width), detail(now, width)];
    let room = height.saturating_sub(lines.len());
    // Steps come first, then as many records as fit.
    let table = steps::table(now, width, room);
    let room = room - table.len();
    lines.extend(table);
    lines.extend(items::lines(name, now, width, room));
    lines.truncate(height);
    lines
}

/// Returns the first line: `triage ━━━━━━╸───  61 %  1,901 done  3 failed  612/s  2 min left`.
fn head(name: &str, now: &Snapshot, width: usize) -> StyledLine {
    let mut line = StyledLine::default();
    line.push_truncated((width / 3).max(8).min(width), BOLD, name);
    if let Some(share) = now.share() {
        let cells = match width {
            100.. => 24,
            60.. => 16,
            // The counts of failures need the room.
            _ => 0,
        };
        let (full, empty) = bar(share, cells);
        let percent = format!(" {:>3.0} %", (100.0 * share).floor());
        if line.push_if_fits(width.saturating_sub(cells + percent.len()), PLAIN, " ") {
            line.push_if_fits(width, GOOD, &full);
            line.push_if_fits(width, DIM, &empty);
            line.push_if_fits(width, PLAIN, &percent);
        }
    }
    line.push_if_fits(width, PLAIN, &format!("  {} done", count(now.done())));
    if now.failed > 0 {
        line.push_if_fits(width, BAD, &format!("  {} failed", count(now.failed)));
    }
    line.push_if_fits(width, PLAIN, &format!("  {}", per_second(now.rate)));
    match now.eta {
        Some(eta) => line.push_if_fits(width, PLAIN, &format!("  {} left", rough_duration(eta))),
        None if now.stopping => line.push_if_fits(width, WAITING, "  stopping"),
        None => now.paused && line.push_if_fits(width, WAITING, "  paused"),
    };
    line
}

/// Returns the full and the empty part of a progress bar.
fn bar(share: f64, cells: usize) -> (String, String) {
    let halves = (share * 2.0 * cells as f64) as usize;
    let (full, half) = (halves / 2, halves % 2);
    ("━".repeat(full) + if half == 1 { "╸" } else { "" }, "─".repeat(cells - full - half))
}

/// Returns the second line, with the counts that are not zero and fit: `48 in flight (2 retrying)  12,300 tokens`.
fn detail(now: &Snapshot, width: usize) -> StyledLine {
    let mut line = StyledLine::default();
    line.push_if_fits(width, PLAIN, &format!("{} in flight", count(now.in_flight as u64)));
    if now.retrying() > 0 {
        line.push_if_fits(width, WAITING, &format!(" ({} retrying)", count(now.retrying())));
    }
    let cost = if now.usage.cost.is_zero() { String::new() } else { format!("cost {:.4}", now.usage.cost) };
    let parts = [
        (WAITING, non_zero(now.degraded, "degraded")),
        (WAITING, non_zero(now.overloaded, "× overloaded")),
        (WAITING, non_zero(now.refused, "refused")),
        (BAD, non_zero(now.runaways, if now.runaways == 1 { "runaway" } else { "runaways" })),
        (PLAIN, non_zero(now.usage.tokens(), "tokens")),
        (PLAIN, cost),
        (PLAIN, non_zero(now.replayed, "replayed")),
        (PLAIN, non_zero(now.hedges, if now.hedges == 1 { "hedge" } else { "hedges" })),
    ];
    for (style, part) in parts.iter().filter(|(_, part)| !part.is_empty()) {
        line.push_if_fits(width, *style, &format!("  {part}"));
    }
    line
}

fn non_zero(number: u64, what: &str) -> String {
    if number == 0 { String::new() } else { format!("{} {what}", count(number)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use llmspell::observe::{Usage, WaitKind};
    use llmspell_run::{InStep, StepNow, Total, Waiting};

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn busy() -> Snapshot {
        let mut now = Snapshot::default();
        (now.bytes_done, now.total) = (61, Some(Total::Bytes(100)));
        (now.ok, now.failed, now.in_flight, now.rate) = (1_898, 3, 48, 612.3);
        (now.eta, now.overloaded, now.usage) = (Some(ms(125_000)), 14, Usage::new(12_000, 300).with_cost(0.0123));
        let mut fetch = StepNow::default();
        fetch.path = "triage.fetch".to_owned();
        (fetch.limit, fetch.running, fetch.queued, fetch.paced) = (Some(8), 5, 12, 1);
        (fetch.backing_off, fetch.retrying, fetch.next_attempt) = (2, 1, Some(ms(1_200)));
        (fetch.done, fetch.failed, fetch.p50, fetch.p95) = (1_901, 3, Some(ms(120)), Some(ms(340)));
        let mut inner = StepNow::default();
        (inner.path, inner.running) = ("triage.fetch.page".to_owned(), 6);
        let mut store = StepNow::default();
        (store.path, store.done, store.p50) = ("triage.store".to_owned(), 1_898, Some(ms(2)));
        now.steps = vec![fetch, inner, store];
        let item = |record, path: &str, time, attempt, waiting| {
            let mut item = InStep::default();
            item.path = format!("triage.{path}");
            (item.record, item.time, item.attempt, item.waiting) = (Some(record), ms(time), attempt, waiting);
            item
        };
        now.oldest = vec![
            item(1_904, "fetch", 2_300, 2, Some(Waiting::Attempt { after: ms(1_200) })),
            item(1_906, "fetch", 900, 1, Some(Waiting::InLine { queue: WaitKind::Rate, time: ms(800) })),
            item(1_909, "fetch.page", 700, 3, None),
            item(1_911, "store", 2, 1, None),
        ];
        now
    }

    fn shown(now: &Snapshot, width: usize, height: usize) -> String {
        let lines = frame("triage", now, Size { width, height });
        lines.iter().map(|line| line.text(false).trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn an_ordinary_terminal_shows_every_column() {
        let expected = "\
triage ━━━━━━━━━╸──────  61 %  1,901 done  3 failed  612/s  2 min 5 s left
48 in flight (3 retrying)  14 × overloaded  12,300 tokens  cost 0.0123
step      run  queue   rate  retry  next in   done  failed     p50     p95
fetch     5/8     12      1      3    1.2 s  1,901       3  120 ms  340 ms
  page      6      -      -      -        -      0       -       -       -
store       -      -      -      -        -  1,898       -  2.0 ms       -
  #1904  fetch         2.3 s  attempt 2 in 1.2 s
  #1906  fetch        900 ms  has waited 800 ms for its rate
  #1909  fetch.page   700 ms  attempt 3
  #1911  store        2.0 ms
";
        assert_eq!(shown(&busy(), 80, 24), expected);
    }

    #[test]
    fn a_narrow_terminal_keeps_the_columns_of_waiting_calls() {
        let expected = "\
triage   61 %  1,901 done  3 failed
48 in flight (3 retrying)  cost 0.0123
step      run  queue   rate  retry
fetch     5/8     12      1      3
  page      6      -      -      -
store       -      -      -      -
  #1904  fetch         2.3 s  attempt …
  #1906  fetch        900 ms  has wait…
  #1909  fetch.page   700 ms  attempt 3
  #1911  store        2.0 ms
";
        assert_eq!(shown(&busy(), 40, 24), expected);
    }

    #[test]
    fn a_wide_terminal_has_a_longer_bar() {
        let wide = shown(&busy(), 120, 40);
        assert!(wide.starts_with("triage ━━━━━━━━━━━━━━╸─────────  61 %  1,901 done  3 failed"), "{wide}");
    }

    #[test]
    fn a_frame_fits_the_terminal() {
        let mut now = busy();
        now.steps = (0..30)
            .flat_map(|n| {
                let mut steps = busy().steps;
                steps.iter_mut().for_each(|step| step.path = format!("{}-{n}-of-a-very-long-name-好", step.path));
                steps
            })
            .collect();
        for (width, height) in
            (6..130).flat_map(|width| [(width, 1), (width, 2), (width, 5), (width, 24), (width, 200)])
        {
            let lines = frame("a-flow-with-quite-a-long-name", &now, Size { width, height });
            assert!(lines.len() < height.max(2), "{width}×{height}: {} lines", lines.len());
            let widest = lines.iter().map(|line| console::measure_text_width(&line.text(true))).max();
            assert!(widest < Some(width.max(2)), "{width}×{height}: {widest:?}");
        }
    }

    #[test]
    fn busy_steps_are_shown_first() {
        let mut now = busy();
        now.oldest.clear();
        let low = shown(&now, 80, 6);
        assert!(low.contains("fetch") && low.contains("… and 2 more steps") && !low.contains("store"), "{low}");
    }

    #[test]
    fn colour_adds_no_information() {
        let lines = frame("triage", &busy(), Size { width: 80, height: 24 });
        let coloured: String = lines.iter().map(|line| line.text(true)).collect();
        let plain: String = lines.iter().map(|line| line.text(false)).collect();
        assert!(coloured.contains("\x1b["));
        assert_eq!(console::strip_ansi_codes(&coloured), plain);
    }

    #[test]
    fn a_pause_is_shown() {
        let mut now = busy();
        (now.paused, now.eta) = (true, None);
        assert!(shown(&now, 80, 24).contains("612/s  paused\n"), "{}", shown(&now, 80, 24));
    }

    #[test]
    fn unknown_totals_show_no_remaining_time() {
        let mut now = busy();
        (now.total, now.eta) = (None, None);
        let text = shown(&now, 80, 24);
        assert!(!text.contains("left") && !text.contains('%'), "{text}");
    }
}
