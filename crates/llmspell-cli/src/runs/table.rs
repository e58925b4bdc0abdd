//! Runs, one line each: `triage-3  interrupted  2026-11-22 18:03:32  3,115 ok  2 failed  40 to do`.

use llmspell_run::{RunInfo, RunStory};

use crate::show::count;

/// The name, how it stands with it, when it began, and four counts. What no run has is left out.
const COLUMNS: usize = 7;

/// So many of them are words, and stand to the left.
const WORDS: usize = 3;

/// One line for each, in columns.
pub(super) fn table(runs: &[RunInfo]) -> String {
    let rows: Vec<[String; COLUMNS]> = runs.iter().map(cells).collect();
    let length = |cell: &String| cell.chars().count();
    let width = |column: usize| rows.iter().map(|row| length(&row[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let line = |(row, run): (&[String; COLUMNS], &RunInfo)| {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate().filter(|(column, _)| widths[*column] > 0) {
            let room = " ".repeat(widths[column] - length(cell));
            line = if column < WORDS { format!("{line}{cell}{room}  ") } else { format!("{line}{room}{cell}  ") };
        }
        match run.problem() {
            Some(error) => format!("{}  {}", line.trim_end(), error.message()),
            None => line.trim_end().to_owned(),
        }
    };
    rows.iter().zip(runs).map(line).collect::<Vec<_>>().join("\n")
}

fn cells(run: &RunInfo) -> [String; COLUMNS] {
    let [name, state] = [run.name.clone(), run.state_in_words().to_owned()];
    let Ok(story) = &run.story else {
        return [name, state, String::new(), String::new(), String::new(), String::new(), String::new()];
    };
    let some = |number: u64, what: &str| if number == 0 { String::new() } else { format!("{} {what}", count(number)) };
    let counts = story.counts.unwrap_or_default();
    let ok = match story.counts {
        Some(counts) => format!("{} ok", count(counts.ok)),
        // Not all of them have come to their end.
        None => format!("{} taken", count(story.reached)),
    };
    let to_do = some(to_do(run, story).unwrap_or(0), "to do");
    [name, state, began(story), ok, some(counts.failed, "failed"), some(counts.degraded, "degraded"), to_do]
}

/// How many of its records are still to be done, if that is known.
pub(super) fn to_do(run: &RunInfo, story: &RunStory) -> Option<u64> {
    match run.is_complete() {
        true => Some(0),
        false => story.to_do.filter(|_| !run.is_running),
    }
}

/// `2026-11-22 18:03:32`.
fn began(story: &RunStory) -> String {
    let began = story.began.as_deref().unwrap_or("").replace('T', " ");
    began.get(..19).unwrap_or(&began).to_owned()
}
