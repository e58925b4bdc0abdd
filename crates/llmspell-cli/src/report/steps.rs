//! The table of a report: where the time went.

use llmspell::{Report, StageReport, StepReport};
use llmspell_run::Account;

use crate::show::{count, counted, time};

/// A row: a step, and its stage if it is one.
type Row<'a> = (&'a StepReport, Option<&'a StageReport>);

/// The columns of the table. One that is empty for all steps is left out, and so are the last ones here where the
/// terminal has no room, in the order of their numbers.
type Column = (&'static str, u8, fn(Row<'_>) -> String);

const COLUMNS: [Column; 15] = [
    ("limit", 0, |(_, stage)| stage.and_then(|stage| stage.limit).map_or(NONE.to_owned(), |limit| count(limit as u64))),
    ("calls", 0, |(step, _)| count(step.calls)),
    ("failed", 0, |(step, _)| some(step.failed)),
    ("degraded", 0, |(step, _)| some(step.degraded)),
    ("stopped", 1, |(step, _)| some(step.cancelled)),
    ("retries", 0, |(step, _)| some(step.attempts.saturating_sub(step.calls))),
    ("429s", 4, |(step, _)| some(step.overloaded)),
    ("refused", 5, |(step, _)| some(step.refused)),
    ("p50", 0, |(step, _)| time(step.p50)),
    ("p95", 0, |(step, _)| time(step.p95)),
    ("p99", 6, |(step, _)| time(step.p99)),
    ("waited", 3, |(step, _)| time(step.waited / u32::try_from(step.calls).unwrap_or(u32::MAX).max(1))),
    ("busy", 2, |(_, stage)| stage.and_then(|stage| stage.utilisation).map_or(NONE.to_owned(), percent)),
    ("tokens", 0, |(step, _)| some(step.usage.tokens())),
    (
        "cost",
        0,
        |(step, _)| if step.usage.cost.is_zero() { NONE.to_owned() } else { format!("{:.4}", step.usage.cost) },
    ),
];

const NONE: &str = "-";

fn some(number: u64) -> String {
    if number == 0 { NONE.to_owned() } else { count(number) }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Where the time went: one line for each step.
pub(super) fn steps(account: &Account, width: Option<usize>) -> Option<String> {
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
    let mut columns: Vec<(u8, Vec<String>)> = COLUMNS
        .iter()
        .map(|(title, rank, cell)| {
            (*rank, std::iter::once((*title).to_owned()).chain(rows.iter().map(|row| cell(*row))))
        })
        .map(|(rank, cells)| (rank, cells.collect::<Vec<_>>()))
        .filter(|(_, cells)| cells[1..].iter().any(|cell| cell != NONE))
        .collect();
    let room = width.unwrap_or(usize::MAX);
    while widest(&first) + columns.iter().map(|(_, cells)| widest(cells) + 2).sum::<usize>() > room {
        let Some(last) =
            columns.iter().enumerate().filter(|(_, (rank, _))| *rank > 0).max_by_key(|(_, (rank, _))| *rank)
        else {
            break;
        };
        columns.remove(last.0);
    }
    let line = |row: usize| {
        let mut line = format!("{:1$}", first[row], widest(&first));
        for (_, cells) in &columns {
            line = format!("{line}  {:>1$}", cells[row], widest(cells));
        }
        line
    };
    let mut text = (0..first.len()).map(line).collect::<Vec<_>>().join("\n");
    if account.dropped > 0 {
        text =
            format!("{text}\n(calls of the {} that have no line are among these)", counted(account.dropped, "record"));
    }
    for remark in remarks(account) {
        text = format!("{text}\n{remark}");
    }
    Some(text)
}

/// What the times of the steps come to.
fn remarks(account: &Account) -> Vec<String> {
    let report = &account.report;
    let mut remarks = Vec::new();
    if let Some(bottleneck) = &report.bottleneck {
        let of = |step: &&llmspell::CriticalStep| step.path == *bottleneck;
        let all: f64 = report.critical_path.iter().map(|step| step.time.as_secs_f64()).sum();
        let share = report.critical_path.iter().find(of).map_or(0.0, |step| step.time.as_secs_f64() / all.max(1e-9));
        let name = account.within(bottleneck.as_str());
        if name != account.flow {
            remarks.push(format!("bottleneck: {name}, {} of the critical path", percent(share)));
        }
    }
    // Work that computes is held up by the cores, work that comes slowly by the input: neither figure means much then.
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

/// The stage of a pipeline that a step is.
fn stage<'a>(report: &'a Report, step: &StepReport) -> Option<&'a StageReport> {
    report
        .pipelines
        .iter()
        .find_map(|pipeline| pipeline.stages.iter().find(|stage| pipeline.path.join(&stage.name) == step.path))
}

fn widest(cells: &[String]) -> usize {
    cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)
}
