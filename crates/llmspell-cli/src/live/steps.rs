//! One line for each step.

use console::measure_text_width;
use llmspell_run::{Snapshot, StepNow};

use super::line::{BAD, DIM, Line, PLAIN, WAITS, padded};
use crate::show::{count, time};
use anstyle::Style;

/// What stands in one column.
struct Column {
    title: &'static str,
    style: Style,
    cell: fn(&StepNow) -> String,
}

/// From left to right.
const COLUMNS: [Column; 9] = [
    Column { title: "run", style: PLAIN, cell: running },
    Column { title: "queue", style: WAITS, cell: |step| some(step.queued) },
    Column { title: "rate", style: WAITS, cell: |step| some(step.paced) },
    Column { title: "retry", style: WAITS, cell: |step| some(step.retrying + step.backing_off) },
    Column { title: "next in", style: WAITS, cell: |step| step.next_attempt.map_or("-".to_owned(), time) },
    Column { title: "done", style: PLAIN, cell: |step| count(step.done) },
    Column { title: "failed", style: BAD, cell: |step| some(step.failed) },
    Column { title: "p50", style: DIM, cell: |step| step.p50.map_or("-".to_owned(), time) },
    Column { title: "p95", style: DIM, cell: |step| step.p95.map_or("-".to_owned(), time) },
];

/// Which columns go first where there is no room; what a step waits for stays to the end.
const DISPENSABLE: [usize; 8] = [7, 8, 4, 5, 6, 2, 1, 3];

/// Room for a name at least.
const NAME: usize = 6;

/// The table of the steps, of so many lines at the most; nothing if there is no room for one step.
pub(super) fn table(now: &Snapshot, width: usize, height: usize) -> Vec<Line> {
    if now.steps.is_empty() || height < 2 {
        return Vec::new();
    }
    let (shown, hidden) = choose(&now.steps, height - 1);
    let names: Vec<String> = shown.iter().map(|step| name(step, &now.steps)).collect();
    let cells: Vec<Vec<String>> = shown.iter().map(|step| COLUMNS.iter().map(|c| (c.cell)(step)).collect()).collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| {
            let cells = cells.iter().map(|row| measure_text_width(&row[column]));
            // Room for some digits more, so that columns do not jump with every figure.
            cells.max().unwrap_or(0).max(COLUMNS[column].title.len()).max(5)
        })
        .collect();
    let longest = names.iter().map(|name| measure_text_width(name)).max().unwrap_or(0).clamp(NAME, 28);
    let mut used: Vec<usize> = (0..COLUMNS.len()).collect();
    let taken = |used: &[usize]| used.iter().map(|column| widths[*column] + 2).sum::<usize>();
    for column in DISPENSABLE {
        if longest + taken(&used) <= width {
            break;
        }
        used.retain(|other| *other != column);
    }
    let first = longest.min(width.saturating_sub(taken(&used)).max(1));

    let mut lines = Vec::new();
    let mut title = Line::default();
    title.cut(width, DIM, &padded("step", first, false));
    for column in &used {
        title.fits(width, DIM, &format!("  {}", padded(COLUMNS[*column].title, widths[*column], true)));
    }
    lines.push(title);
    for (name, cells) in names.iter().zip(&cells) {
        let mut line = Line::default();
        line.cut(first, PLAIN, name);
        line.fits(width, PLAIN, &" ".repeat(first.saturating_sub(line.width())));
        for column in &used {
            let cell = padded(&cells[*column], widths[*column], true);
            let style = if cells[*column] == "-" { DIM } else { COLUMNS[*column].style };
            line.fits(width, style, &format!("  {cell}"));
        }
        lines.push(line);
    }
    if hidden > 0 {
        let mut line = Line::default();
        line.cut(width, DIM, &format!("… and {hidden} more steps"));
        lines.push(line);
    }
    lines
}

/// Those that there is room for, in the order of the flow: first those that are at work or wait.
fn choose(steps: &[StepNow], room: usize) -> (Vec<&StepNow>, usize) {
    if steps.len() <= room {
        return (steps.iter().collect(), 0);
    }
    let room = room.saturating_sub(1);
    let mut chosen: Vec<usize> = (0..steps.len()).collect();
    chosen.sort_by_key(|place| !is_busy(&steps[*place]));
    chosen.truncate(room);
    chosen.sort_unstable();
    (chosen.iter().map(|place| &steps[*place]).collect(), steps.len() - room)
}

fn is_busy(step: &StepNow) -> bool {
    step.running + step.queued + step.paced + step.backing_off + step.retrying > 0
}

/// The last name of its path, indented below the steps around it.
fn name(step: &StepNow, steps: &[StepNow]) -> String {
    let around = |other: &&StepNow| step.path.strip_prefix(&other.path).is_some_and(|rest| rest.starts_with('.'));
    let depth = steps.iter().filter(around).count();
    let last = step.path.rsplit('.').next().unwrap_or_default();
    format!("{}{last}", "  ".repeat(depth))
}

/// `8/8`: at work now, of as many as may be.
fn running(step: &StepNow) -> String {
    match step.limit {
        Some(limit) => format!("{}/{}", count(step.running), count(limit as u64)),
        None => some(step.running),
    }
}

fn some(number: u64) -> String {
    if number == 0 { "-".to_owned() } else { count(number) }
}
