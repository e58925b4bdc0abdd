//! Runs as text and as JSON: the list of runs, and one run.

use llmspell_run::{RunInfo, RunRecord};
use serde_json::{Map, Value, json};

use crate::ui::text::count;

/// The columns of the list: name, state, beginning, and four counts. A column that is empty in all rows is left out.
const COLUMNS: usize = 7;

/// The number of columns that hold text, and are aligned to the left.
const TEXT_COLUMNS: usize = 3;

/// Returns one line per run, in columns: `triage-3  interrupted  2026-11-22 18:03:32  3,115 ok  2 failed  40 to do`.
pub(crate) fn table(runs: &[RunInfo]) -> String {
    let rows: Vec<[String; COLUMNS]> = runs.iter().map(cells).collect();
    let length = |cell: &String| cell.chars().count();
    let width = |column: usize| rows.iter().map(|row| length(&row[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let line = |(row, run): (&[String; COLUMNS], &RunInfo)| {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate().filter(|(column, _)| widths[*column] > 0) {
            let padding = " ".repeat(widths[column] - length(cell));
            line = match column < TEXT_COLUMNS {
                true => format!("{line}{cell}{padding}  "),
                false => format!("{line}{padding}{cell}  "),
            };
        }
        match run.problem() {
            Some(error) => format!("{}  {}", line.trim_end(), error.message()),
            None => line.trim_end().to_owned(),
        }
    };
    rows.iter().zip(runs).map(line).collect::<Vec<_>>().join("\n")
}

fn cells(run: &RunInfo) -> [String; COLUMNS] {
    let [name, state] = [run.name.clone(), run.state_label().to_owned()];
    let Ok(run_record) = &run.record else {
        return [name, state, String::new(), String::new(), String::new(), String::new(), String::new()];
    };
    let cell = |number: u64, what: &str| if number == 0 { String::new() } else { format!("{} {what}", count(number)) };
    let counts = run_record.counts.unwrap_or_default();
    let ok = match run_record.counts {
        Some(counts) => format!("{} ok", count(counts.ok)),
        // Not all of these have finished.
        None => format!("{} admitted", count(run_record.reached)),
    };
    let to_do = cell(to_do(run, run_record).unwrap_or(0), "to do");
    [name, state, began(run_record), ok, cell(counts.failed, "failed"), cell(counts.degraded, "degraded"), to_do]
}

/// Returns the number of records still to run, if it is known.
fn to_do(run: &RunInfo, run_record: &RunRecord) -> Option<u64> {
    match run.is_complete() {
        true => Some(0),
        false => run_record.to_do.filter(|_| !run.is_running),
    }
}

/// Returns when the run began: `2026-11-22 18:03:32`.
fn began(run_record: &RunRecord) -> String {
    let began = run_record.began.as_deref().unwrap_or("").replace('T', " ");
    began.get(..19).unwrap_or(&began).to_owned()
}

/// Returns the facts about one run, one per line.
pub(crate) fn details(run: &RunInfo) -> String {
    let mut facts = facts(run);
    facts["state"] = run.state_label().into();
    // Equal times mean that the run was started once.
    if facts["last_began"] == facts["began"] {
        facts["last_began"] = Value::Null;
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let facts = facts.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    facts.map(|(name, value)| format!("{name:12}{}", text(value))).collect::<Vec<_>>().join("\n")
}

/// Returns the facts about one run as an object.
pub(crate) fn facts(run: &RunInfo) -> Value {
    let mut all = Map::new();
    all.insert("run".to_owned(), run.name.clone().into());
    all.insert("state".to_owned(), run.state().into());
    all.insert("bytes".to_owned(), run.size.into());
    match &run.record {
        Err(error) => {
            all.insert("problem".to_owned(), error.to_string().into());
        }
        Ok(run_record) => {
            let options = run_record.meta("options").and_then(|words| serde_json::from_str::<Value>(words).ok());
            let rest = json!({
                "flow": run_record.meta("flow"),
                "began": run_record.began,
                "last_began": run_record.last_began,
                "ended": run_record.ended,
                "sessions": run_record.sessions,
                "reached": run_record.reached,
                "ok": run_record.counts.map(|counts| counts.ok),
                "degraded": run_record.counts.map(|counts| counts.degraded),
                "failed": run_record.counts.map(|counts| counts.failed),
                "to_do": to_do(run, run_record),
                "folder": run_record.meta("folder"),
                "options": options,
            });
            all.extend(rest.as_object().cloned().unwrap_or_default());
        }
    }
    Value::Object(all)
}
