//! Advice about a run, derived from its measurements. `docs/report.md` describes each rule and its threshold.

use std::time::Duration;

use super::run_report::{Advice, RunReport};
use llmspell::observe::{Report, StepReport};

/// The shares from which a rule applies.
const FULL: f64 = 0.9;
const QUEUED: f64 = 0.8;
const TIMED_OUT: f64 = 0.5;
const OUTPUT_WAIT: f64 = 0.2;
const OVERLOADED: f64 = 0.1;
const DEGRADED: f64 = 0.5;

/// The minimum of calls for a rule; with fewer, anything may be chance.
const MIN_CALLS: u64 = 10;

/// A shorter wait for the output goes unnoticed.
const MIN_OUTPUT_WAIT: Duration = Duration::from_secs(1);

/// Returns the advice about a run.
pub(crate) fn advise(report: &RunReport) -> Vec<Advice> {
    // The flow itself has no modifiers.
    let steps = report.report.steps.iter().filter(|step| step.path.as_str() != report.flow);
    let of_steps = steps.flat_map(|step| {
        let name = report.within(step.path.as_str());
        let found = [
            limit_full(name, step, &report.report),
            hedge_never_won(name, step),
            timeout_too_short(name, step),
            overloaded(name, step),
            mostly_degraded(name, step),
        ];
        found.into_iter().flatten()
    });
    of_steps.chain(output_slow(report)).collect()
}

fn advice(kind: &str, step: &str, message: String, hint: String) -> Advice {
    Advice { kind: kind.to_owned(), step: step.to_owned(), message, hint }
}

fn limit_full(name: &str, step: &StepReport, report: &Report) -> Option<Advice> {
    let message = limit_message(step, report)?;
    Some(advice("limit_full", name, message, format!("raise limit.{name}, if the service it calls can take more")))
}

fn hedge_never_won(name: &str, step: &StepReport) -> Option<Advice> {
    let applies = step.hedged >= MIN_CALLS && step.hedges_won == 0;
    applies.then(|| {
        let message = format!("{} second copies were started, and none finished first", step.hedged);
        advice("hedge_never_won", name, message, format!("start the hedge of {name} later, or remove it"))
    })
}

fn timeout_too_short(name: &str, step: &StepReport) -> Option<Advice> {
    let timeout = step.timeout?;
    let timed_out = share(step.timed_out, step.attempts);
    (step.attempts >= MIN_CALLS && timed_out >= TIMED_OUT).then(|| {
        let percent = percent(timed_out);
        let message =
            format!("its timeout of {timeout:?} is shorter than its median: it cut off {percent} of the attempts");
        advice("timeout_too_short", name, message, format!("raise the timeout of {name}"))
    })
}

fn overloaded(name: &str, step: &StepReport) -> Option<Advice> {
    let rejected = share(step.overloaded, step.attempts);
    (step.overloaded >= MIN_CALLS && rejected >= OVERLOADED).then(|| {
        let message = format!("the service rejected {} of the attempts as too many", percent(rejected));
        let hint = format!("lower the limit of {name}, set a rate, or let it find its limit: adaptive");
        advice("overloaded", name, message, hint)
    })
}

fn mostly_degraded(name: &str, step: &StepReport) -> Option<Advice> {
    let degraded = share(step.degraded, step.ok);
    (step.ok >= MIN_CALLS && degraded >= DEGRADED).then(|| {
        let message = format!("{} of its results are partial, or come from a fallback", percent(degraded));
        let hint = format!("see the `causes` of the lines, and fix the first choice of {name}");
        advice("mostly_degraded", name, message, hint)
    })
}

fn output_slow(report: &RunReport) -> Option<Advice> {
    let waited = if report.took.is_zero() { 0.0 } else { report.output_wait.div_duration_f64(report.took) };
    (waited >= OUTPUT_WAIT && report.output_wait >= MIN_OUTPUT_WAIT).then(|| {
        let message = format!("outcomes waited for the output {} of the time: its reader is slow", percent(waited));
        advice("output_slow", "", message, "write to a file with --output, and read that".to_owned())
    })
}

/// Returns the message for a stage whose limit was in use nearly all the time, if it was the bottleneck of the run; or
/// for a step whose calls spent most of their time in a queue.
fn limit_message(step: &StepReport, report: &Report) -> Option<String> {
    let stages = report
        .pipelines
        .iter()
        .flat_map(|pipeline| pipeline.stages.iter().map(move |stage| (pipeline.path.join(&stage.name), stage)));
    let busiest = stages
        .max_by(|(_, one), (_, other)| one.utilisation.unwrap_or(0.0).total_cmp(&other.utilisation.unwrap_or(0.0)));
    if let Some((path, stage)) = busiest
        && path == step.path
        && stage.records >= MIN_CALLS
        && let (Some(limit), Some(used)) = (stage.limit, stage.utilisation)
        && used >= FULL
    {
        return Some(format!("its limit of {limit} was full {} of the time", percent(used.min(1.0))));
    }
    let queued = step.waited.saturating_sub(step.backed_off);
    let all = step.busy + step.waited;
    let waited = if all.is_zero() { 0.0 } else { queued.div_duration_f64(all) };
    (step.calls >= MIN_CALLS && waited >= QUEUED)
        .then(|| format!("its calls waited in a queue {} of their time", percent(waited)))
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

    /// A run with one step, as JSON, with some values replaced.
    fn report(step: serde_json::Value, stage: serde_json::Value, run: serde_json::Value) -> RunReport {
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
        advise(&report(step, stage, run)).into_iter().map(|advice| advice.kind).collect()
    }

    use serde_json::json;

    #[test]
    fn an_ordinary_run_has_no_advice() {
        assert!(kinds(json!({}), json!({}), json!({})).is_empty());
    }

    #[test]
    fn a_full_limit_names_the_limit_to_set() {
        let full = report(json!({}), json!({ "utilisation": 0.97 }), json!({}));
        let advice = &advise(&full)[0];
        assert_eq!((advice.kind.as_str(), advice.step.as_str()), ("limit_full", "a"));
        assert_eq!(advice.message, "its limit of 8 was full 97 % of the time");
        assert_eq!(advice.hint, "raise limit.a, if the service it calls can take more");
        assert!(kinds(json!({}), json!({ "utilisation": 0.89 }), json!({})).is_empty());
        let queued = json!({ "waited_ms": 45_000.0, "backed_off_ms": 5_000.0, "busy_ms": 4_000.0 });
        assert_eq!(kinds(queued, json!({}), json!({})), ["limit_full"]);
        let between_attempts = json!({ "waited_ms": 45_000.0, "backed_off_ms": 15_000.0, "busy_ms": 4_000.0 });
        assert!(kinds(between_attempts, json!({}), json!({})).is_empty());
    }

    #[test]
    fn a_hedge_that_never_wins_is_reported() {
        assert_eq!(kinds(json!({ "hedged": 10 }), json!({}), json!({})), ["hedge_never_won"]);
        assert!(kinds(json!({ "hedged": 10, "hedges_won": 1 }), json!({}), json!({})).is_empty());
        assert!(kinds(json!({ "hedged": 9 }), json!({}), json!({})).is_empty());
    }

    #[test]
    fn a_timeout_below_the_median_is_reported() {
        let cut = |times: u64| json!({ "timed_out": times, "timeout_ms": 200.0 });
        let short = report(cut(50), json!({}), json!({}));
        assert_eq!(
            advise(&short)[0].message,
            "its timeout of 200ms is shorter than its median: it cut off 50 % of the attempts"
        );
        assert!(kinds(cut(49), json!({}), json!({})).is_empty());
    }

    #[test]
    fn an_overloaded_server_is_reported() {
        assert_eq!(kinds(json!({ "overloaded": 10 }), json!({}), json!({})), ["overloaded"]);
        assert!(kinds(json!({ "overloaded": 10, "attempts": 200 }), json!({}), json!({})).is_empty());
    }

    #[test]
    fn mostly_degraded_results_are_reported() {
        assert_eq!(kinds(json!({ "degraded": 50 }), json!({}), json!({})), ["mostly_degraded"]);
        assert!(kinds(json!({ "degraded": 49 }), json!({}), json!({})).is_empty());
    }

    #[test]
    fn a_slow_reader_of_the_output_is_reported() {
        assert_eq!(kinds(json!({}), json!({}), json!({ "output_wait_ms": 2_000.0 })), ["output_slow"]);
        assert!(kinds(json!({}), json!({}), json!({ "output_wait_ms": 1_900.0 })).is_empty());
        assert!(kinds(json!({}), json!({}), json!({ "took_ms": 900.0, "output_wait_ms": 800.0 })).is_empty());
    }

    #[test]
    fn a_report_can_be_parsed_back() {
        let report = report(json!({ "hedged": 10 }), json!({}), json!({ "ok": 7, "failed": 2 }));
        let text = serde_json::to_string(&report).unwrap();
        let read: RunReport = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!((read.ok, read.report.steps.len()), (7, 1));
    }
}
