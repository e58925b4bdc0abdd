//! The table of steps in a report: where the time went.

use llmspell::observe::{Report, StageReport, StepReport};
use llmspell_run::RunReport;

use crate::ui::text::{count, count_of, duration};

/// A row: a step, and its stage if it is one.
type Row<'a> = (&'a StepReport, Option<&'a StageReport>);

/// A column: its title, its rank, and the cell of a row. A column that is empty in all rows is left out. On a narrow
/// terminal the columns of the highest rank are left out first; those of rank 0 always stay.
type Column = (&'static str, u8, fn(Row<'_>) -> String);

const COLUMNS: [Column; 15] = [
    ("limit", 0, |(_, stage)| stage.and_then(|stage| stage.limit).map_or(NONE.to_owned(), |limit| count(limit as u64))),
    ("calls", 0, |(step, _)| count(step.calls)),
    ("failed", 0, |(step, _)| non_zero(step.failed)),
    ("degraded", 0, |(step, _)| non_zero(step.degraded)),
    ("stopped", 1, |(step, _)| non_zero(step.cancelled)),
    ("retries", 0, |(step, _)| non_zero(step.attempts.saturating_sub(step.calls))),
    ("429s", 4, |(step, _)| non_zero(step.overloaded)),
    ("refused", 5, |(step, _)| non_zero(step.refused)),
    ("p50", 0, |(step, _)| duration(step.p50)),
    ("p95", 0, |(step, _)| duration(step.p95)),
    ("p99", 6, |(step, _)| duration(step.p99)),
    ("waited", 3, |(step, _)| duration(step.waited / u32::try_from(step.calls).unwrap_or(u32::MAX).max(1))),
    ("busy", 2, |(_, stage)| stage.and_then(|stage| stage.utilisation).map_or(NONE.to_owned(), percent)),
    ("tokens", 0, |(step, _)| non_zero(step.usage.tokens())),
    (
        "cost",
        0,
        |(step, _)| if step.usage.cost.is_zero() { NONE.to_owned() } else { format!("{:.4}", step.usage.cost) },
    ),
];

/// The cell of a value that is zero or unknown.
const NONE: &str = "-";

fn non_zero(number: u64) -> String {
    if number == 0 { NONE.to_owned() } else { count(number) }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Returns one line per step, and remarks about the times below; `None` if no step was recorded.
pub(super) fn table(account: &RunReport, width: Option<usize>) -> Option<String> {
    let report = &account.report;
    let rows: Vec<Row<'_>> = report
        .steps
        .iter()
        .filter(|step| step.path.as_str() != account.flow)
        .map(|step| (step, stage(report, step)))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let names = rows.iter().map(|(step, _)| account.within(step.path.as_str()).to_owned());
    let first: Vec<String> = std::iter::once("step".to_owned()).chain(names).collect();
    let columns = columns(&rows, width.map_or(usize::MAX, |width| width.saturating_sub(widest(&first))));
    let line = |row: usize| {
        let mut line = format!("{:1$}", first[row], widest(&first));
        for cells in &columns {
            line = format!("{line}  {:>1$}", cells[row], widest(cells));
        }
        line
    };
    let mut lines: Vec<String> = (0..first.len()).map(line).collect();
    if account.dropped > 0 {
        lines.push(format!("(includes the calls of {} without a line)", count_of(account.dropped, "record")));
    }
    lines.extend(remarks(account));
    Some(lines.join("\n"))
}

/// Returns the columns that have values and fit, each with its title first.
fn columns(rows: &[Row<'_>], room: usize) -> Vec<Vec<String>> {
    let mut columns: Vec<(u8, Vec<String>)> = COLUMNS
        .iter()
        .map(|(title, rank, cell)| {
            (*rank, std::iter::once((*title).to_owned()).chain(rows.iter().map(|row| cell(*row))).collect::<Vec<_>>())
        })
        .filter(|(_, cells)| cells[1..].iter().any(|cell| cell != NONE))
        .collect();
    while columns.iter().map(|(_, cells)| widest(cells) + 2).sum::<usize>() > room {
        let removable = columns.iter().enumerate().filter(|(_, (rank, _))| *rank > 0);
        let Some((place, _)) = removable.max_by_key(|(_, (rank, _))| *rank) else { break };
        columns.remove(place);
    }
    columns.into_iter().map(|(_, cells)| cells).collect()
}

/// Returns the conclusions from the times of the steps.
fn remarks(account: &RunReport) -> Vec<String> {
    let report = &account.report;
    let mut remarks = Vec::new();
    if let Some(bottleneck) = &report.bottleneck {
        let is_bottleneck = |step: &&llmspell::observe::CriticalStep| step.path == *bottleneck;
        let all: f64 = report.critical_path.iter().map(|step| step.time.as_secs_f64()).sum();
        let time = report.critical_path.iter().find(is_bottleneck).map_or(0.0, |step| step.time.as_secs_f64());
        let name = account.within(bottleneck.as_str());
        if name != account.flow {
            remarks.push(format!("bottleneck: {name}, {} of the critical path", percent(time / all.max(1e-9))));
        }
    }
    // Below that efficiency, the cores or a slow input limit the run, and neither figure means much.
    if let Some(pipeline) = report.pipelines.first().filter(|pipeline| pipeline.efficiency >= 0.5) {
        let (speedup, share) = (report.speedup, percent(pipeline.efficiency));
        remarks.push(format!("speedup {speedup:.1}× over one call at a time, {share} of the best for these limits"));
    }
    let usage = &report.usage;
    if !usage.is_zero() {
        let cost = if usage.cost.is_zero() { String::new() } else { format!(", cost {:.4}", usage.cost) };
        let (input, output) = (count(usage.input_tokens), count(usage.output_tokens));
        remarks.push(format!("tokens: {input} in, {output} out{cost}"));
    }
    remarks
}

/// Returns the stage of a pipeline that this step is.
fn stage<'a>(report: &'a Report, step: &StepReport) -> Option<&'a StageReport> {
    report
        .pipelines
        .iter()
        .find_map(|pipeline| pipeline.stages.iter().find(|stage| pipeline.path.join(&stage.name) == step.path))
}

fn widest(cells: &[String]) -> usize {
    cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)
}
