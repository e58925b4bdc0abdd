//! The summary and the report of a run as text.

mod object;
mod steps;

use llmspell::Error;
use llmspell_run::{FailureCount, ResumePlan, RunEnd, RunReport, Summary, Unread};
pub(crate) use object::object;

use crate::ui::text::{count, count_of, duration, per_second};

/// The facts about a run that its summary lacks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportHeader<'a> {
    /// The name of the flow.
    pub(crate) flow: &'a str,
    /// The name of the run, if it has a journal.
    pub(crate) run: Option<&'a str>,
    /// The command that resumes the run, if it has a journal.
    pub(crate) resume: Option<&'a str>,
}

/// Returns the first lines at the end of a run: how many records, their outcomes, and the files written.
pub(crate) fn summary(header: &ReportHeader<'_>, summary: &Summary) -> String {
    let mut text = format!("{}: {}", header.flow, totals(&summary.report));
    if summary.damaged > 0 {
        let records = count_of(summary.damaged, "record");
        text = format!("{text}\nthe journal is damaged: {records} went through the flow again");
    }
    if let Some(path) = summary.errors.as_ref().and_then(|errors| errors.path.as_ref()) {
        text = format!("{text}\nfailed records: {}", path.display());
    }
    text = format!("{text}{}", output_lines(summary));
    if summary.gone > 0 {
        let (was, has) = if summary.gone == 1 { ("was", "has") } else { ("were", "have") };
        let records = count_of(summary.gone, "record");
        text = format!("{text}\n{records} of earlier sessions {was} not found in the input, and {has} no line");
    }
    if let Some(run) = header.run {
        text = format!("{text}\nrun: {run}, {}", summary.ending.label());
    }
    match (&summary.ending, header.resume) {
        (RunEnd::Drained | RunEnd::Aborted | RunEnd::Failed(_), Some(resume)) => {
            format!("{text}\nhint: resume the run: {resume}")
        }
        (RunEnd::Complete, Some(resume)) if summary.failed > 0 => {
            format!("{text}\nhint: run the failed records again: {resume} --only-failed")
        }
        _ => text,
    }
}

/// Returns the lines about the output, each after a line break.
fn output_lines(summary: &Summary) -> String {
    let Some(written) = &summary.written else {
        return "\nincomplete: the output did not take its last lines".to_owned();
    };
    let path = written.path.as_ref().map(|path| path.display());
    match (&summary.ending, path) {
        (RunEnd::Complete, Some(path)) => format!("\noutput: {path}"),
        (RunEnd::Complete, None) => String::new(),
        (ending, path) => {
            let place = path.map_or(String::new(), |path| format!(" in {path}"));
            let text = format!("\nincomplete: {} written{place}", count_of(written.lines, "line"));
            match (ending, &summary.unread) {
                (RunEnd::Drained | RunEnd::Failed(_), Some(rest)) => format!("{text}\n{}", unread(rest)),
                _ => text,
            }
        }
    }
}

/// Returns the counts of a run: `60 records in 1.2 s (50/s), 58 ok, 2 failed`.
fn totals(account: &RunReport) -> String {
    let (done, took) = (account.ok + account.failed, account.took);
    let mut text = format!("{} in {}", count_of(done, "record"), duration(took));
    if done > 0 {
        let rate = per_second(done as f64 / took.as_secs_f64().max(1e-6));
        text = format!("{text} ({rate}), {} ok", count(account.ok));
    }
    if account.degraded > 0 {
        text = format!("{text} ({} degraded)", count(account.degraded));
    }
    if account.failed > 0 {
        text = format!("{text}, {} failed", count(account.failed));
    }
    if account.replayed > 0 {
        text = format!("{text}, {} replayed from the journal", count(account.replayed));
    }
    if account.dropped > 0 {
        text = format!("{text}; {} admitted and not written", count(account.dropped));
    }
    text
}

/// Returns the report of an earlier run, which is printed below its line in the list of runs.
pub(crate) fn stored_report(account: &RunReport, width: Option<usize>) -> String {
    let mut text = totals(account);
    let done = account.ok + account.failed;
    if account.report.steps.is_empty() && done + account.dropped > account.replayed {
        text = format!(
            "{text}\n\nno table of steps: a run with -q or --report none does not record its steps\n\
             hint: leave these options out to record them"
        );
    } else if account.report.steps.is_empty() && done > 0 {
        text = format!("{text}\n\nno table of steps: every record was replayed from the journal");
    }
    match full_report(account, width) {
        report if report.is_empty() => text,
        report => format!("{text}\n\n{report}"),
    }
}

/// Returns the error of a run that stopped because servers denied its calls.
pub(crate) fn stopped(why: &Error, summary: &Summary, resume: Option<&str>) -> String {
    let denied = why.causes().last().unwrap_or(why);
    let mut text = format!("error: stopped, because credentials or money are missing: {denied}");
    let mut hint = "provide them".to_owned();
    if let Some(rest) = &summary.unread {
        text = format!("{text}\n\n{}", unread(rest));
        hint = format!("{hint}, then {}", resume_hint(resume));
    }
    if let Some(own) = denied.hint() {
        hint = format!("{own}\nhint: {hint}");
    }
    format!("{text}\n\nhint: {hint}; --keep-going admits every record despite such answers")
}

/// Returns the error of a run that used up its budget.
pub(crate) fn over_budget(why: &Error, summary: &Summary, resume: Option<&str>) -> String {
    let mut text = format!("error: stopped: {}", why.message());
    if let Some(rest) = &summary.unread {
        text = format!("{text}\n\n{}", unread(rest));
    }
    format!("{text}\n\nhint: {} --budget AMOUNT", resume_hint(resume))
}

fn resume_hint(resume: Option<&str>) -> String {
    resume.map_or("run the remaining records".to_owned(), |resume| format!("resume the run: {resume}"))
}

/// Returns what a resumed run does again because its flow has changed.
pub(crate) fn changed_flow(redo: &ResumePlan) -> String {
    if redo.rekeyed {
        return "the key of the flow has changed: no record can be matched, and all run again".to_owned();
    }
    let mut text = format!("the flow has changed: {} go through it again", count_of(redo.records, "record"));
    if !redo.kept.is_empty() {
        text = format!("{text}\n  kept: {}", redo.kept.join(", "));
    }
    for (step, why) in &redo.redone {
        text = format!("{text}\n  runs again: {step} ({})", why.as_str());
    }
    text
}

/// Returns how many records the run has not admitted.
fn unread(rest: &Unread) -> String {
    let at_least = if rest.is_all { "" } else { "at least " };
    let verb = if rest.records == 1 { "was" } else { "were" };
    format!("{at_least}{} {verb} not admitted, from line {} on", count_of(rest.records, "record"), rest.from_line)
}

/// Returns the whole report of a run; empty if there is nothing to report. `width` is the width of the terminal, if
/// there is one.
pub(crate) fn full_report(account: &RunReport, width: Option<usize>) -> String {
    let parts = [steps::table(account, width), failures(account), advice(account)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
}

/// The maximum number of groups of failures that are listed.
const MAX_GROUPS: usize = 8;

/// Returns the reasons why records failed: one entry per step and kind, the most frequent first.
fn failures(account: &RunReport) -> Option<String> {
    if account.failures.is_empty() {
        return None;
    }
    let mut groups: Vec<&FailureCount> = account.failures.iter().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    let mut text = "failed:".to_owned();
    for group in groups.iter().take(MAX_GROUPS) {
        let path = if group.path.is_empty() { "record" } else { &group.path };
        let message: String = group.message.chars().take(160).collect();
        let tried = if group.attempts > 1 { format!(" after {} attempts", group.attempts) } else { String::new() };
        text = format!("{text}\n  {} × {path}: {}{tried}", count(group.count), group.kind);
        text = format!("{text}\n      first at line {}: {}", group.first_line, message.replace('\n', " "));
        if let Some(hint) = &group.hint {
            text = format!("{text}\n      hint: {hint}");
        }
    }
    if groups.len() > MAX_GROUPS || account.other_failures > 0 {
        text = format!("{text}\n  and other kinds; see the `error` of each line");
    }
    Some(text)
}

/// Returns the suspicious facts about the run, with a hint for each.
fn advice(account: &RunReport) -> Option<String> {
    let lines = account.advice.iter().map(|advice| {
        let step = if advice.step.is_empty() { String::new() } else { format!("{}: ", advice.step) };
        format!("  {step}{}\n      hint: {}", advice.message, advice.hint)
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| format!("noticed:\n{}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with failures, retries, tokens, a degraded record and advice.
    fn account() -> RunReport {
        serde_json::from_str(include_str!("report/fixture.json")).unwrap()
    }

    fn assert_text(name: &str, text: &str) {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_path("report/snapshots");
        settings.bind(|| insta::assert_snapshot!(name, text));
    }

    #[test]
    fn a_report_has_a_table_of_steps_failures_and_advice() {
        assert_text("report", &full_report(&account(), None));
        assert_text("report_narrow", &full_report(&account(), Some(60)));
    }

    #[test]
    fn a_stored_report_explains_a_missing_table() {
        assert_text("stored_report", &stored_report(&account(), None));
        let mut without_steps = account();
        without_steps.report.steps.clear();
        assert_text("stored_report_without_steps", &stored_report(&without_steps, None));
    }
}
