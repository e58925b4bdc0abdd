//! The table of steps in a frame, one line per step.

use anstyle::Style;
use console::measure_text_width;
use llmspell_run::{Snapshot, StepNow};

use super::line::{BAD, DIM, PLAIN, StyledLine, WAITING, pad_left, pad_right};
use crate::ui::text::{count, duration};

/// A column of the table.
struct Column {
    title: &'static str,
    style: Style,
    cell: fn(&StepNow) -> String,
}

/// The columns from left to right.
const COLUMNS: [Column; 9] = [
    Column { title: "run", style: PLAIN, cell: running },
    Column { title: "queue", style: WAITING, cell: |step| non_zero(step.queued) },
    Column { title: "rate", style: WAITING, cell: |step| non_zero(step.paced) },
    Column { title: "retry", style: WAITING, cell: |step| non_zero(step.retrying + step.backing_off) },
    Column { title: "next in", style: WAITING, cell: |step| step.next_attempt.map_or("-".to_owned(), duration) },
    Column { title: "done", style: PLAIN, cell: |step| count(step.done) },
    Column { title: "failed", style: BAD, cell: |step| non_zero(step.failed) },
    Column { title: "p50", style: DIM, cell: |step| step.p50.map_or("-".to_owned(), duration) },
    Column { title: "p95", style: DIM, cell: |step| step.p95.map_or("-".to_owned(), duration) },
];

/// The order in which a narrow terminal drops columns. Those of waiting calls are dropped last.
const DROP_ORDER: [usize; 8] = [7, 8, 4, 5, 6, 2, 1, 3];

/// The width of the first column, in cells.
const MIN_NAME: usize = 6;
const MAX_NAME: usize = 28;

/// The minimum width of the other columns: room for more digits, so that columns do not move with every number.
const MIN_CELL: usize = 5;

/// Returns the table with at most `height` lines; empty if there is no room for one step.
pub(super) fn table(now: &Snapshot, width: usize, height: usize) -> Vec<StyledLine> {
    if now.steps.is_empty() || height < 2 {
        return Vec::new();
    }
    let (shown, hidden) = choose(&now.steps, height - 1);
    let names: Vec<String> = shown.iter().map(|step| name(step, &now.steps)).collect();
    let cells: Vec<Vec<String>> = shown.iter().map(|step| COLUMNS.iter().map(|c| (c.cell)(step)).collect()).collect();
    let layout = Layout::new(&names, &cells, width);
    let mut lines = vec![layout.title(width)];
    lines.extend(names.iter().zip(&cells).map(|(name, cells)| layout.row(name, cells, width)));
    if hidden > 0 {
        let mut line = StyledLine::default();
        line.push_truncated(width, DIM, &format!("… and {hidden} more steps"));
        lines.push(line);
    }
    lines
}

/// The columns that fit, and their widths.
struct Layout {
    name_width: usize,
    /// Places in [`COLUMNS`], with the width of each.
    columns: Vec<(usize, usize)>,
}

impl Layout {
    fn new(names: &[String], cells: &[Vec<String>], width: usize) -> Self {
        let widest = |column: usize| cells.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or(0);
        let mut columns: Vec<(usize, usize)> = COLUMNS
            .iter()
            .enumerate()
            .map(|(place, column)| (place, widest(place).max(column.title.len()).max(MIN_CELL)))
            .collect();
        let longest = names.iter().map(|name| measure_text_width(name)).max().unwrap_or(0).clamp(MIN_NAME, MAX_NAME);
        let taken = |columns: &[(usize, usize)]| columns.iter().map(|(_, width)| width + 2).sum::<usize>();
        for dropped in DROP_ORDER {
            if longest + taken(&columns) <= width {
                break;
            }
            columns.retain(|(place, _)| *place != dropped);
        }
        Layout { name_width: longest.min(width.saturating_sub(taken(&columns)).max(1)), columns }
    }

    fn title(&self, width: usize) -> StyledLine {
        let mut line = StyledLine::default();
        line.push_truncated(width, DIM, &pad_right("step", self.name_width));
        for (place, cell_width) in &self.columns {
            line.push_if_fits(width, DIM, &format!("  {}", pad_left(COLUMNS[*place].title, *cell_width)));
        }
        line
    }

    fn row(&self, name: &str, cells: &[String], width: usize) -> StyledLine {
        let mut line = StyledLine::default();
        line.push_truncated(self.name_width, PLAIN, name);
        line.push_if_fits(width, PLAIN, &" ".repeat(self.name_width.saturating_sub(line.width())));
        for (place, cell_width) in &self.columns {
            let style = if cells[*place] == "-" { DIM } else { COLUMNS[*place].style };
            line.push_if_fits(width, style, &format!("  {}", pad_left(&cells[*place], *cell_width)));
        }
        line
    }
}

/// Chooses the steps that fit, busy ones first, and keeps the order of the flow. Returns also how many are hidden.
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

/// Returns the last segment of the path, indented below the enclosing steps.
fn name(step: &StepNow, steps: &[StepNow]) -> String {
    let encloses = |other: &&StepNow| step.path.strip_prefix(&other.path).is_some_and(|rest| rest.starts_with('.'));
    let depth = steps.iter().filter(encloses).count();
    let last = step.path.rsplit('.').next().unwrap_or_default();
    format!("{}{last}", "  ".repeat(depth))
}

/// Returns the running calls and their limit: `5/8`.
fn running(step: &StepNow) -> String {
    match step.limit {
        Some(limit) => format!("{}/{}", count(step.running), count(limit as u64)),
        None => non_zero(step.running),
    }
}

fn non_zero(number: u64) -> String {
    if number == 0 { "-".to_owned() } else { count(number) }
}
