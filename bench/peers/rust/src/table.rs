//! Renders measurements as Markdown tables of medians: one table per task, one row per peer.

use std::fmt::Write;

use serde_json::Value;

use crate::{MAP_ITEMS, millis, stages};

/// The columns of a table between the name of the peer and the resources of its process.
struct Task {
    name: &'static str,
    heading: &'static str,
    columns: &'static [Column],
}

struct Column {
    heading: &'static str,
    value: ColumnValue,
}

enum ColumnValue {
    /// The program's output under this key, and the number of digits after the point.
    Output(&'static str, usize),
    /// CPU time of the whole process per item of the map, in microseconds.
    CpuPerItem,
    /// The theoretical best time divided by the measured one.
    Efficiency(fn() -> Vec<stages::Stages>),
}
use ColumnValue::{CpuPerItem, Efficiency, Output};

const fn column(heading: &'static str, value: ColumnValue) -> Column {
    Column { heading, value }
}

const TASKS: &[Task] = &[
    Task { name: "start", heading: "A process that runs one step", columns: &[] },
    Task {
        name: "map",
        heading: "100,000 steps that do nothing, limit 1,000",
        columns: &[column("CPU a step, µs", CpuPerItem)],
    },
    Task {
        name: "map-yield",
        heading: "100,000 steps that give way once, limit 1,000",
        columns: &[column("CPU a step, µs", CpuPerItem)],
    },
    Task {
        name: "pipeline",
        heading: "Three stages of 100, 200 and 150 ms, 300 records, 10 a stage, in input order",
        columns: &[
            column("time, ms", Output("elapsed_ms", 0)),
            column("efficiency", Efficiency(stages::fixed)),
            column("first result, ms", Output("first_ms", 0)),
            column("most in a stage", Output("most_in_stage", 0)),
        ],
    },
    Task {
        name: "pipeline-scattered",
        heading: "The same, each time multiplied by 0.2 to 1.8",
        columns: &[
            column("time, ms", Output("elapsed_ms", 0)),
            column("efficiency", Efficiency(stages::scattered)),
            column("first result, ms", Output("first_ms", 0)),
            column("most in a stage", Output("most_in_stage", 0)),
        ],
    },
    Task {
        name: "timeout",
        heading: "A step of 600 ms that ignores its timeout of 100 ms",
        columns: &[
            column("caller free, ms", Output("free_ms", 0)),
            column("still running then", Output("running_then", 0)),
            column("counted by the system", Output("counted", 0)),
            column("3 attempts: caller free, ms", Output("retry_free_ms", 0)),
            column("3 attempts: made", Output("retry_made", 0)),
            column("3 attempts: running at once", Output("retry_most", 0)),
            column("6 calls, limit 2: last caller free, ms", Output("limit_free_ms", 0)),
            column("6 calls, limit 2: running at once", Output("limit_most", 0)),
        ],
    },
    Task {
        name: "slow-consumer",
        heading: "10 at a time before a consumer that takes 20 ms for each of 100 outcomes",
        columns: &[
            column("started ahead of it", Output("ahead", 0)),
            column("longest step of 10 ms, ms", Output("longest_ms", 0)),
            column("time, ms", Output("elapsed_ms", 0)),
        ],
    },
    Task {
        name: "first-error",
        heading: "200 steps of 50 ms, 10 at a time, one of the first fails",
        columns: &[
            column("caller knows, ms", Output("error_ms", 0)),
            column("started in the 0.5 s after", Output("started_after", 0)),
            column("finished in the 0.5 s after", Output("finished_after", 0)),
        ],
    },
];

/// The runs of one peer at one task.
struct Row<'a> {
    peer: &'a str,
    runs: Vec<&'a Value>,
}

/// Returns the tables of all tasks in `runs`, with the peers in the order of their runs.
///
/// Each run has `task`, `peer`, and either `failed` or `cpu_ms`, `peak_mb` and `output`, the line that the program
/// printed.
pub fn tables(runs: &[Value]) -> String {
    let mut tables = String::new();
    for task in TASKS {
        let rows = rows(runs, task.name);
        if !rows.is_empty() {
            table(&mut tables, task, &rows).expect("writing to a string cannot fail");
        }
    }
    tables
}

fn rows<'a>(runs: &'a [Value], task: &str) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    for run in runs.iter().filter(|run| run["task"] == task) {
        let peer = run["peer"].as_str().unwrap_or("?");
        match rows.iter_mut().find(|row| row.peer == peer) {
            Some(row) => row.runs.push(run),
            None => rows.push(Row { peer, runs: vec![run] }),
        }
    }
    rows
}

fn table(tables: &mut String, task: &Task, rows: &[Row<'_>]) -> std::fmt::Result {
    writeln!(tables, "\n### {}\n\n`bench/peers/run {}`\n", task.heading, task.name)?;
    write!(tables, "| peer |")?;
    for column in task.columns {
        write!(tables, " {} |", column.heading)?;
    }
    writeln!(tables, " CPU, ms | peak memory, MB |")?;
    writeln!(tables, "|---|{}---:|---:|", "---:|".repeat(task.columns.len()))?;
    for row in rows {
        write!(tables, "| {} |", row.peer)?;
        if let Some(failed) = row.runs.iter().find_map(|run| run["failed"].as_str()) {
            writeln!(tables, " failed: {failed} |{}", " |".repeat(task.columns.len() + 1))?;
            continue;
        }
        for column in task.columns {
            write!(tables, " {} |", row.cell(&column.value))?;
        }
        let (cpu, memory) = (row.median(|run| run["cpu_ms"].as_f64()), row.median(|run| run["peak_mb"].as_f64()));
        writeln!(tables, " {} | {} |", format_number(cpu, 0), format_number(memory, 1))?;
    }
    Ok(())
}

impl Row<'_> {
    fn cell(&self, value: &ColumnValue) -> String {
        match value {
            Output(key, digits) => format_number(self.median(|run| run["output"][key].as_f64()), *digits),
            CpuPerItem => {
                format_number(self.median(|run| Some(run["cpu_ms"].as_f64()? * 1000.0 / MAP_ITEMS as f64)), 2)
            }
            Efficiency(records) => {
                let best = millis(stages::bound(&records()));
                format_number(self.median(|run| Some(best / run["output"]["elapsed_ms"].as_f64()?)), 2)
            }
        }
    }

    /// Returns the median over the runs, or `None` if a run lacks the value.
    fn median(&self, of: impl Fn(&Value) -> Option<f64>) -> Option<f64> {
        let mut values = self.runs.iter().map(|run| of(run)).collect::<Option<Vec<f64>>>()?;
        values.sort_by(f64::total_cmp);
        Some(values[values.len() / 2])
    }
}

fn format_number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(peer: &str, cpu_ms: u32, output: Value) -> Value {
        json!({ "task": "map", "peer": peer, "cpu_ms": cpu_ms, "peak_mb": 2.0, "output": output })
    }

    #[test]
    fn row_shows_the_median_of_its_runs() {
        let runs = [5, 100, 20].map(|cpu_ms| run("one", cpu_ms, json!({})));
        assert!(tables(&runs).ends_with("| one | 0.20 | 20 | 2.0 |\n"), "{}", tables(&runs));
    }

    #[test]
    fn failed_run_is_not_hidden_by_others() {
        let runs = [run("one", 5, json!({})), json!({ "task": "map", "peer": "one", "failed": "exit status: 1" })];
        assert!(tables(&runs).ends_with("| one | failed: exit status: 1 | | |\n"), "{}", tables(&runs));
    }
}
