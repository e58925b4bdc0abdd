//! What a run came to, in few lines.

use std::time::Duration;

use llmspell::{Error, Report, StageReport, StepReport};
use llmspell_flow::{Ending, NotAdmitted, Summary};

use crate::meter::per_second;
use crate::show::{count, counted};

/// The first lines: how many records, what became of them, where they are.
pub(crate) fn summary(name: &str, summary: &Summary) -> String {
    let done = summary.ok + summary.failed;
    let mut text = format!("{name}: {} in {}", counted(done, "record"), time(summary.took));
    if done > 0 {
        let rate = per_second(done as f64 / summary.took.as_secs_f64().max(1e-6));
        text = format!("{text} ({rate}), {} ok", count(summary.ok));
    }
    if summary.degraded > 0 {
        text = format!("{text} ({} degraded)", count(summary.degraded));
    }
    if summary.failed > 0 {
        text = format!("{text}, {} failed", count(summary.failed));
    }
    if let Some(path) = summary.errors.as_ref().and_then(|errors| errors.path.as_ref()) {
        text = format!("{text}\nfailed records: {}", path.display());
    }
    match (&summary.ending, &summary.written) {
        (Ending::Complete, Some(written)) => {
            if let Some(path) = &written.path {
                text = format!("{text}\noutput: {}", path.display());
            }
        }
        (_, Some(written)) => {
            let place = match &written.path {
                Some(path) => format!(" in {}", path.display()),
                None => String::new(),
            };
            text = format!("{text}\nincomplete: {} written{place}", counted(written.lines, "line"));
            if let (Ending::Drained | Ending::Failed(_), Some(rest)) = (&summary.ending, &summary.not_admitted) {
                let (line, rest) = (rest.from_line, not_admitted(rest));
                text = format!("{text}\n{rest}\nhint: run the rest: tail -n +{line}");
            }
        }
        (_, None) => text = format!("{text}\nincomplete: the output did not take its last lines"),
    }
    text
}

/// Why a run took no more records, how many there are, and what to do.
pub(crate) fn stopped(why: &Error, summary: &Summary) -> String {
    let denied = why.causes().last().unwrap_or(why);
    let mut text = format!("error: stopped, because credentials or money are missing: {denied}");
    let mut hint = "see to them".to_owned();
    if let Some(rest) = &summary.not_admitted {
        let line = rest.from_line;
        text = format!("{text}\n\n{}", not_admitted(rest));
        hint = format!("{hint}, then run the rest: tail -n +{line}");
    }
    if let Some(own) = denied.hint() {
        hint = format!("{own}\nhint: {hint}");
    }
    format!("{text}\n\nhint: {hint}; --keep-going takes every record, whatever is answered")
}

/// That a run has used up what it may, and what to do.
pub(crate) fn over_budget(why: &Error, summary: &Summary) -> String {
    let mut text = format!("error: stopped: {}", why.message());
    if let Some(rest) = &summary.not_admitted {
        text = format!("{text}\n\n{}", not_admitted(rest));
    }
    format!("{text}\n\nhint: raise --budget, and run the rest")
}

/// What a run has left alone.
fn not_admitted(rest: &NotAdmitted) -> String {
    let more = if rest.is_all { "" } else { "at least " };
    let verb = if rest.records == 1 { "was" } else { "were" };
    format!("{more}{} {verb} not admitted, from line {} on", counted(rest.records, "record"), rest.from_line)
}

/// Why records failed: one entry for each step and kind.
pub(crate) fn failures(summary: &Summary) -> Option<String> {
    let groups = summary.failures.groups();
    if groups.is_empty() {
        return None;
    }
    let mut text = "failed:".to_owned();
    for group in groups.iter().take(SHOWN) {
        let path = if group.path.is_empty() { "record" } else { &group.path };
        let message: String = group.first.message().chars().take(160).collect();
        text = format!("{text}\n  {} × {path}: {}", count(group.count), group.kind);
        text = format!("{text}\n      first at line {}: {}", group.first_line, message.replace('\n', " "));
        if let Some(hint) = group.first.hint() {
            text = format!("{text}\n      hint: {hint}");
        }
    }
    let hidden = groups.len().saturating_sub(SHOWN) as u64;
    if hidden > 0 || summary.failures.others() > 0 {
        text = format!("{text}\n  and other kinds; see the `error` of each line");
    }
    Some(text)
}

/// How many sorts of failures are listed.
const SHOWN: usize = 8;

/// Where the time went: one line for each step.
pub(crate) fn steps(report: &Report) -> Option<String> {
    let pipeline = report.pipelines.first()?;
    let titles = ["step", "limit", "ok", "failed", "stopped", "retries", "p50", "p95", "waited", "busy"];
    let header = titles.map(str::to_owned);
    let mut rows = vec![header];
    for stage in &pipeline.stages {
        let path = pipeline.path.join(&stage.name);
        let Some(step) = report.steps.iter().find(|step| step.path == path) else { continue };
        rows.push(row(stage, step));
    }
    let mut text = table(&rows);
    // Work that computes is held up by the cores, work that comes slowly by the input: neither figure means much then.
    if pipeline.efficiency >= 0.5 {
        let (speedup, share) = (report.speedup, 100.0 * pipeline.efficiency);
        text =
            format!("{text}\nspeedup {speedup:.1}× over one call at a time, {share:.0} % of the best for these limits");
    }
    if let Some(slowest) = pipeline.stages.iter().max_by_key(|stage| stage.work / limit(stage)) {
        text = format!("{text}\nslowest step: {}", slowest.name);
    }
    Some(text)
}

/// What the work of a step is spread over; one without a limit holds nobody up.
fn limit(stage: &StageReport) -> u32 {
    stage.limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(1024)
}

fn row(stage: &StageReport, step: &StepReport) -> [String; 10] {
    let some = |number: u64| if number == 0 { "-".to_owned() } else { count(number) };
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    [
        stage.name.clone(),
        stage.limit.map_or("-".to_owned(), |limit| limit.to_string()),
        count(step.ok),
        some(step.failed),
        some(step.cancelled),
        some(step.attempts.saturating_sub(step.calls)),
        time(step.p50),
        time(step.p95),
        time(stage.waited / u32::try_from(stage.records).unwrap_or(u32::MAX).max(1)),
        stage.utilisation.map_or("-".to_owned(), percent),
    ]
}

/// Columns apart by two spaces, the first to the left, numbers to the right.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let mut line = format!("{:1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            line = format!("{line}  {cell:>width$}");
        }
        line
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `85 µs`, `1.2 ms`, `3.4 s`, `12 min 5 s`.
fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let digits = |number: f64| if number < 9.95 { format!("{number:.1}") } else { format!("{number:.0}") };
    match seconds {
        _ if time.is_zero() => "0".to_owned(),
        _ if seconds < 1e-3 => format!("{} µs", digits(seconds * 1e6)),
        _ if seconds < 1.0 => format!("{} ms", digits(seconds * 1e3)),
        _ if seconds < 120.0 => format!("{} s", digits(seconds)),
        _ => format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60),
    }
}
