//! The report as a table.

use std::fmt;
use std::time::Duration;

use super::{PipelineReport, Report, StepReport};
use crate::display;
use crate::observe::usage::Usage;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("nothing recorded: run named steps under `Context::recording()`");
        }
        write!(
            f,
            "wall {} · sequential {} · speedup {:.2}×",
            display::duration(self.wall),
            display::duration(self.sequential),
            self.speedup
        )?;
        write_usage(f, &self.usage)?;
        f.write_str("\n\n")?;
        write_steps(f, &self.steps)?;
        for pipeline in &self.pipelines {
            f.write_str("\n")?;
            write_pipeline(f, pipeline)?;
        }
        write_critical_path(f, self)?;
        if self.in_progress > 0 {
            write!(f, "\nstill in progress: {}", self.in_progress)?;
        }
        Ok(())
    }
}

fn write_usage(f: &mut fmt::Formatter<'_>, usage: &Usage) -> fmt::Result {
    if usage.tokens() > 0 {
        write!(f, " · {} tokens ({} in, {} out)", usage.tokens(), usage.input_tokens, usage.output_tokens)?;
    }
    if !usage.cost.is_zero() {
        write!(f, " · cost {}", display::amount(usage.cost))?;
    }
    Ok(())
}

/// A column of the table of steps. A column that is empty for all steps is omitted.
type Column = (&'static str, fn(&StepReport) -> String);

fn write_steps(f: &mut fmt::Formatter<'_>, steps: &[StepReport]) -> fmt::Result {
    let columns: [Column; 17] = [
        ("calls", |step| step.calls.to_string()),
        ("ok", |step| step.ok.to_string()),
        ("failed", |step| count(step.failed)),
        ("cancelled", |step| count(step.cancelled)),
        ("degraded", |step| count(step.degraded)),
        ("attempts", |step| if step.attempts == step.calls { String::new() } else { step.attempts.to_string() }),
        ("runaways", |step| count(step.runaways)),
        ("still alive", |step| count(step.runaways_alive)),
        ("refused", |step| count(step.refused)),
        ("p50", |step| time(step.p50)),
        ("p95", |step| time(step.p95)),
        ("p99", |step| time(step.p99)),
        ("busy", |step| time(step.busy)),
        ("wasted", |step| time(step.wasted)),
        ("waited", |step| time(step.waited)),
        ("tokens", |step| count(step.usage.tokens())),
        ("cost", |step| if step.usage.cost.is_zero() { String::new() } else { display::amount(step.usage.cost) }),
    ];
    let mut table = Table::new("step", steps.iter().map(|step| step.path.to_string()).collect());
    for (title, cell) in columns {
        let cells: Vec<String> = steps.iter().map(cell).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.column(title, cells);
        }
    }
    table.write(f)
}

fn write_pipeline(f: &mut fmt::Formatter<'_>, pipeline: &PipelineReport) -> fmt::Result {
    writeln!(
        f,
        "\npipeline {}: {} records in {}, best possible {}, efficiency {:.1} %, sequential {}",
        pipeline.path,
        pipeline.records,
        display::duration(pipeline.took),
        display::duration(pipeline.best),
        pipeline.efficiency * 100.0,
        display::duration(pipeline.sequential),
    )?;
    let stages = &pipeline.stages;
    let mut table = Table::new("stage", stages.iter().map(|stage| stage.name.clone()).collect());
    let limit = |limit: Option<usize>| limit.map_or("none".to_owned(), |limit| limit.to_string());
    table.column("limit", stages.iter().map(|stage| limit(stage.limit)).collect());
    table.column("records", stages.iter().map(|stage| stage.records.to_string()).collect());
    table.column("work", stages.iter().map(|stage| time(stage.work)).collect());
    table.column("waited", stages.iter().map(|stage| time(stage.waited)).collect());
    let percent = |share: Option<f64>| share.map_or(String::new(), |share| format!("{:.0} %", share * 100.0));
    table.column("utilised", stages.iter().map(|stage| percent(stage.utilisation)).collect());
    table.write(f)
}

fn write_critical_path(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    if report.critical_path.is_empty() || report.wall.is_zero() {
        return Ok(());
    }
    f.write_str("\n\ncritical path: ")?;
    for (place, step) in report.critical_path.iter().enumerate() {
        let arrow = if place == 0 { "" } else { " → " };
        let times = if step.calls > 1 { format!(" ×{}", step.calls) } else { String::new() };
        let share = 100.0 * step.time.as_secs_f64() / report.wall.as_secs_f64();
        write!(f, "{arrow}{}{times} {} ({share:.0} %)", step.path, display::duration(step.time))?;
    }
    if let Some(bottleneck) = &report.bottleneck {
        write!(f, "\nbottleneck: {bottleneck}")?;
    }
    Ok(())
}

fn count(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

fn time(time: Duration) -> String {
    if time < Duration::from_micros(1) { String::new() } else { display::duration(time) }
}

/// A table with names on the left and right-aligned figures.
struct Table {
    lines: Vec<String>,
}

impl Table {
    fn new(title: &str, names: Vec<String>) -> Self {
        let mut lines = vec![title.to_owned()];
        lines.extend(names);
        let width = width(&lines);
        for line in &mut lines {
            let padding = width - line.chars().count();
            line.push_str(&" ".repeat(padding));
        }
        Table { lines }
    }

    fn column(&mut self, title: &str, cells: Vec<String>) {
        let mut column = vec![title.to_owned()];
        column.extend(cells);
        let width = width(&column);
        for (line, cell) in self.lines.iter_mut().zip(&column) {
            let padding = width + 2 - cell.chars().count();
            line.push_str(&" ".repeat(padding));
            line.push_str(cell);
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.trim_end()).collect();
        f.write_str(&lines.join("\n"))
    }
}

fn width(cells: &[String]) -> usize {
    cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)
}
