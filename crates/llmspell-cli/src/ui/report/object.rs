//! The summary of a run for programs.

use llmspell_run::{OutputStats, RunEnd, Summary};
use serde_json::{Value, json};

use super::ReportHeader;

/// Returns the summary as an object: `{"summary": …}`.
pub(crate) fn object(header: &ReportHeader<'_>, summary: &Summary) -> Value {
    let rest = summary.unread.as_ref();
    let path = |written: Option<&OutputStats>| written.and_then(|written| written.path.clone());
    json!({ "summary": {
        "flow": header.flow,
        "run": header.run,
        "ending": summary.ending.as_str(),
        "took_ms": summary.took.as_micros() as f64 / 1e3,
        "ok": summary.ok,
        "degraded": summary.degraded,
        "failed": summary.failed,
        "replayed": summary.replayed,
        "dropped": summary.dropped,
        "gone": summary.gone,
        "not_admitted": rest.map(|rest| json!({
            "records": rest.records, "is_all": rest.is_all, "from_line": rest.from_line,
        })),
        "lines": summary.written.as_ref().map(|written| written.lines),
        "output": path(summary.written.as_ref()),
        "errors": path(summary.errors.as_ref()),
        "resume": header.resume.filter(|_| !matches!(summary.ending, RunEnd::Complete)),
    } })
}
