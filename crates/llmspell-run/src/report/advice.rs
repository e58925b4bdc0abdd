//! What seems wrong with a run, by what was measured of it. `docs/report.md` tells of each, with its threshold.

use std::time::Duration;

use llmspell::{Report, StepReport};
use serde::{Deserialize, Serialize};

use super::run_report::RunReport;

/// Something about a run that seems wrong, and what might be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Advice {
    /// The sort of it: `limit_full`, `hedge_never_won`, `timeout_too_short`, `output_slow`, `overloaded` or
    /// `mostly_degraded`.
    pub kind: String,
    /// The step, without the name of the flow; empty if it is about the run.
    pub step: String,
    /// What was seen.
    pub message: String,
    /// What might be done.
    pub hint: String,
}

/// A share that is told.
const FULL: f64 = 0.9;
const IN_LINE: f64 = 0.8;
const CUT_OFF: f64 = 0.5;
const OUTPUT: f64 = 0.2;
const REFUSED: f64 = 0.1;
const DEGRADED: f64 = 0.5;

/// Below so many, anything may be chance.
const FEW: u64 = 10;

/// A wait for the output that nobody would notice.
const SHORT: Duration = Duration::from_secs(1);

pub(crate) fn advice(account: &RunReport) -> Vec<Advice> {
    let report = &account.report;
    let mut found = Vec::new();
    for step in &report.steps {
        let path = step.path.as_str();
        // The flow itself has no modifiers.
        if path == account.flow {
            continue;
        }
        let name = account.within(path);
        let mut add = |kind: &str, message: String, hint: String| {
            found.push(Advice { kind: kind.to_owned(), step: name.to_owned(), message, hint });
        };
        if let Some(message) = limit_full(step, report) {
            let hint = format!("raise limit.{name}, if what it calls can take more");
            add("limit_full", message, hint);
        }
        if step.hedged >= FEW && step.hedges_won == 0 {
            let message = format!("{} second copies were started, and none was first", step.hedged);
            add("hedge_never_won", message, format!("start the hedge of {name} later, or leave it out"));
        }
        if let Some(timeout) = step.timeout
            && step.attempts >= FEW
            && share(step.timed_out, step.attempts) >= CUT_OFF
        {
            let percent = percent(share(step.timed_out, step.attempts));
            let message =
                format!("its timeout of {timeout:?} is shorter than its median: it cut off {percent} of the attempts");
            add("timeout_too_short", message, format!("raise the timeout of {name}"));
        }
        if step.overloaded >= FEW && share(step.overloaded, step.attempts) >= REFUSED {
            let percent = percent(share(step.overloaded, step.attempts));
            let message = format!("the other side refused {percent} of the attempts, because they were too many");
            add(
                "overloaded",
                message,
                format!("lower the limit of {name}, give it a rate, or let it find its limit: adaptive"),
            );
        }
        if step.ok >= FEW && share(step.degraded, step.ok) >= DEGRADED {
            let percent = percent(share(step.degraded, step.ok));
            let message = format!("{percent} of its results are partial, or come from a fallback");
            add(
                "mostly_degraded",
                message,
                format!("see the `causes` of the lines, and mend what {name} asks for first"),
            );
        }
    }
    let waited = if account.took.is_zero() { 0.0 } else { account.output_wait.div_duration_f64(account.took) };
    if waited >= OUTPUT && account.output_wait >= SHORT {
        found.push(Advice {
            kind: "output_slow".to_owned(),
            step: String::new(),
            message: format!(
                "outcomes waited for the output {} of the time: whoever reads it is slow",
                percent(waited)
            ),
            hint: "write to a file with --output, and read that".to_owned(),
        });
    }
    found
}

/// A stage whose limit was in use nearly all the time, if nothing else held the run up more; or a step whose calls spent
/// most of their time in line.
fn limit_full(step: &StepReport, report: &Report) -> Option<String> {
    let stages = report
        .pipelines
        .iter()
        .flat_map(|pipeline| pipeline.stages.iter().map(move |stage| (pipeline.path.join(&stage.name), stage)));
    let busiest = stages
        .max_by(|(_, one), (_, other)| one.utilisation.unwrap_or(0.0).total_cmp(&other.utilisation.unwrap_or(0.0)));
    if let Some((path, stage)) = busiest
        && path == step.path
        && stage.records >= FEW
        && let (Some(limit), Some(used)) = (stage.limit, stage.utilisation)
        && used >= FULL
    {
        return Some(format!("its limit of {limit} was full {} of the time", percent(used.min(1.0))));
    }
    let in_line = step.waited.saturating_sub(step.backed_off);
    let all = step.busy + step.waited;
    let waited = if all.is_zero() { 0.0 } else { in_line.div_duration_f64(all) };
    (step.calls >= FEW && waited >= IN_LINE)
        .then(|| format!("its calls stood in line {} of their time", percent(waited)))
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with one step, as its JSON is, with some of it changed.
    fn account(step: serde_json::Value, stage: serde_json::Value, run: serde_json::Value) -> RunReport {
        let mut whole = serde_json::json!({
            "flow": "f", "took_ms": 10_000.0, "wall_ms": 10_000.0, "sequential_ms": 0.0, "speedup": 1.0,
            "bottleneck": null, "critical_path": [], "in_progress": 0,
            "steps": [{
                "path": "f.a", "calls": 100, "ok": 100, "failed": 0, "cancelled": 0, "degraded": 0, "attempts": 100,
                "runaways": 0, "runaways_alive": 0, "refused": 0, "p50_ms": 100.0, "p95_ms": 100.0, "p99_ms": 100.0,
                "busy_ms": 10_000.0, "wasted_ms": 0.0, "waited_ms": 0.0,
            }],
            "pipelines": [{
                "path": "f", "records": 100, "took_ms": 10_000.0, "sequential_ms": 10_000.0, "best_ms": 10_000.0,
                "efficiency": 1.0,
                "stages": [{ "name": "a", "limit": 8, "records": 100, "work_ms": 1.0, "waited_ms": 0.0, "utilisation": 0.5 }],
            }],
        });
        let merge = |into: &mut serde_json::Value, from: serde_json::Value| {
            for (name, value) in from.as_object().unwrap() {
                into[name] = value.clone();
            }
        };
        merge(&mut whole["steps"][0], step);
        merge(&mut whole["pipelines"][0]["stages"][0], stage);
        merge(&mut whole, run);
        serde_json::from_value(whole).unwrap()
    }

    fn kinds(step: serde_json::Value, stage: serde_json::Value, run: serde_json::Value) -> Vec<String> {
        advice(&account(step, stage, run)).into_iter().map(|lint| lint.kind).collect()
    }

    use serde_json::json;

    #[test]
    fn an_ordinary_run_has_nothing_to_tell() {
        assert!(kinds(json!({}), json!({}), json!({})).is_empty());
    }

    #[test]
    fn a_full_limit_is_told_with_the_name_to_set() {
        let full = account(json!({}), json!({ "utilisation": 0.97 }), json!({}));
        let lint = &advice(&full)[0];
        assert_eq!((lint.kind.as_str(), lint.step.as_str()), ("limit_full", "a"));
        assert_eq!(lint.message, "its limit of 8 was full 97 % of the time");
        assert_eq!(lint.hint, "raise limit.a, if what it calls can take more");
        assert!(kinds(json!({}), json!({ "utilisation": 0.89 }), json!({})).is_empty());
        let in_line = json!({ "waited_ms": 45_000.0, "backed_off_ms": 5_000.0, "busy_ms": 4_000.0 });
        assert_eq!(kinds(in_line, json!({}), json!({})), ["limit_full"]);
        let between_attempts = json!({ "waited_ms": 45_000.0, "backed_off_ms": 15_000.0, "busy_ms": 4_000.0 });
        assert!(kinds(between_attempts, json!({}), json!({})).is_empty());
    }

    #[test]
    fn a_hedge_that_never_wins_is_told() {
        assert_eq!(kinds(json!({ "hedged": 10 }), json!({}), json!({})), ["hedge_never_won"]);
        assert!(kinds(json!({ "hedged": 10, "hedges_won": 1 }), json!({}), json!({})).is_empty());
        assert!(kinds(json!({ "hedged": 9 }), json!({}), json!({})).is_empty());
    }

    #[test]
    fn a_timeout_below_the_median_is_told() {
        let cut = |times: u64| json!({ "timed_out": times, "timeout_ms": 200.0 });
        let short = account(cut(50), json!({}), json!({}));
        assert_eq!(
            advice(&short)[0].message,
            "its timeout of 200ms is shorter than its median: it cut off 50 % of the attempts"
        );
        assert!(kinds(cut(49), json!({}), json!({})).is_empty());
    }

    #[test]
    fn an_overloaded_server_is_told() {
        assert_eq!(kinds(json!({ "overloaded": 10 }), json!({}), json!({})), ["overloaded"]);
        assert!(kinds(json!({ "overloaded": 10, "attempts": 200 }), json!({}), json!({})).is_empty());
    }

    #[test]
    fn results_that_are_mostly_substitutes_are_told() {
        assert_eq!(kinds(json!({ "degraded": 50 }), json!({}), json!({})), ["mostly_degraded"]);
        assert!(kinds(json!({ "degraded": 49 }), json!({}), json!({})).is_empty());
    }

    #[test]
    fn a_slow_reader_of_the_output_is_told() {
        assert_eq!(kinds(json!({}), json!({}), json!({ "output_wait_ms": 2_000.0 })), ["output_slow"]);
        assert!(kinds(json!({}), json!({}), json!({ "output_wait_ms": 1_900.0 })).is_empty());
        assert!(kinds(json!({}), json!({}), json!({ "took_ms": 900.0, "output_wait_ms": 800.0 })).is_empty());
    }

    #[test]
    fn an_account_can_be_read_back() {
        let account = account(json!({ "hedged": 10 }), json!({}), json!({ "ok": 7, "failed": 2 }));
        let text = serde_json::to_string(&account).unwrap();
        let read: RunReport = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!((read.ok, read.report.steps.len()), (7, 1));
    }
}
