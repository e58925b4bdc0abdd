//! What a run came to, in few lines.

mod object;
mod steps;

use llmspell::Error;
use llmspell_run::{Account, Ending, FailureCount, NotAdmitted, Redo, Summary};
pub(crate) use object::object;

use crate::show::{count, counted, per_second, time};

/// What is told of a run beside its summary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    /// The name of the flow.
    pub(crate) name: &'a str,
    /// The name of the run, if it has a journal.
    pub(crate) run: Option<&'a str>,
    /// How it is gone on with.
    pub(crate) resume: Option<&'a str>,
}

/// The first lines: how many records, what became of them, where they are.
pub(crate) fn summary(told: &Told<'_>, summary: &Summary) -> String {
    let mut text = format!("{}: {}", told.name, came(&summary.account));
    if summary.damaged > 0 {
        let records = counted(summary.damaged, "record");
        text = format!("{text}\nsome of the journal cannot be read: {records} went through the flow again for it");
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
                text = format!("{text}\n{}", not_admitted(rest));
            }
        }
        (_, None) => text = format!("{text}\nincomplete: the output did not take its last lines"),
    }
    if summary.gone > 0 {
        let (was, has) = if summary.gone == 1 { ("was", "has") } else { ("were", "have") };
        let records = counted(summary.gone, "record");
        text = format!("{text}\n{records} of earlier sessions {was} not found in the input, and {has} no line");
    }
    if let Some(run) = told.run {
        text = format!("{text}\nrun: {run}, {}", summary.ending.in_words());
    }
    match (&summary.ending, told.resume) {
        (Ending::Drained | Ending::Aborted | Ending::Failed(_), Some(resume)) => {
            text = format!("{text}\nhint: go on: {resume}");
        }
        (Ending::Complete, Some(resume)) if summary.failed > 0 => {
            text = format!("{text}\nhint: those that have failed, once more: {resume} --only-failed");
        }
        _ => {}
    }
    text
}

/// `60 records in 1.2 s (50/s), 58 ok, 2 failed`.
fn came(account: &Account) -> String {
    let (done, took) = (account.ok + account.failed, account.took);
    let mut text = format!("{} in {}", counted(done, "record"), time(took));
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
        text = format!("{text}, {} of them from before", count(account.replayed));
    }
    if account.dropped > 0 {
        text = format!("{text}; {} taken and not written", count(account.dropped));
    }
    text
}

/// The report of a run once more, below the line that tells of the run.
pub(crate) fn later(account: &Account, width: Option<usize>) -> String {
    let mut text = came(account);
    let done = account.ok + account.failed;
    if account.report.steps.is_empty() && done + account.dropped > account.replayed {
        text = format!(
            "{text}\n\nno table of its steps: with -q or --report none, nobody records what they do\n\
             hint: the next run has one without these"
        );
    } else if account.report.steps.is_empty() && done > 0 {
        text = format!("{text}\n\nno table of its steps: every record was there from before");
    }
    match whole(account, width) {
        whole if whole.is_empty() => text,
        whole => format!("{text}\n\n{whole}"),
    }
}

/// Why a run took no more records, how many there are, and what to do.
pub(crate) fn stopped(why: &Error, summary: &Summary, resume: Option<&str>) -> String {
    let denied = why.causes().last().unwrap_or(why);
    let mut text = format!("error: stopped, because credentials or money are missing: {denied}");
    let mut hint = "see to them".to_owned();
    if let Some(rest) = &summary.not_admitted {
        text = format!("{text}\n\n{}", not_admitted(rest));
        hint = format!("{hint}, then {}", go_on(resume));
    }
    if let Some(own) = denied.hint() {
        hint = format!("{own}\nhint: {hint}");
    }
    format!("{text}\n\nhint: {hint}; --keep-going takes every record, whatever is answered")
}

/// That a run has used up what it may, and what to do.
pub(crate) fn over_budget(why: &Error, summary: &Summary, resume: Option<&str>) -> String {
    let mut text = format!("error: stopped: {}", why.message());
    if let Some(rest) = &summary.not_admitted {
        text = format!("{text}\n\n{}", not_admitted(rest));
    }
    format!("{text}\n\nhint: {} --budget AMOUNT", go_on(resume))
}

fn go_on(resume: Option<&str>) -> String {
    resume.map_or("run the rest".to_owned(), |resume| format!("go on: {resume}"))
}

/// What a changed flow does again.
pub(crate) fn redo(redo: &Redo) -> String {
    if redo.rekeyed {
        return "the key of the flow has changed: no record is known by it, and all are done again".to_owned();
    }
    let mut text = format!("the flow has changed: {} go through it again", counted(redo.records, "record"));
    if !redo.kept.is_empty() {
        text = format!("{text}\n  kept: {}", redo.kept.join(", "));
    }
    for (step, why) in &redo.redone {
        text = format!("{text}\n  done again: {step} ({})", why.as_str());
    }
    text
}

/// What a run has left alone.
fn not_admitted(rest: &NotAdmitted) -> String {
    let more = if rest.is_all { "" } else { "at least " };
    let verb = if rest.records == 1 { "was" } else { "were" };
    format!("{more}{} {verb} not admitted, from line {} on", counted(rest.records, "record"), rest.from_line)
}

/// The whole report of a run, wherever it comes from; `width` is that of the terminal, if there is one. Empty if there is
/// nothing to tell.
pub(crate) fn whole(account: &Account, width: Option<usize>) -> String {
    let parts = [steps::steps(account, width), failures(account), lints(account)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
}

/// Why records failed: one entry for each step and kind, those with most failures first.
fn failures(account: &Account) -> Option<String> {
    if account.failures.is_empty() {
        return None;
    }
    let mut groups: Vec<&FailureCount> = account.failures.iter().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    let mut text = "failed:".to_owned();
    for group in groups.iter().take(SHOWN) {
        let path = if group.path.is_empty() { "record" } else { &group.path };
        let message: String = group.message.chars().take(160).collect();
        let tried = if group.attempts > 1 { format!(" after {} attempts", group.attempts) } else { String::new() };
        text = format!("{text}\n  {} × {path}: {}{tried}", count(group.count), group.kind);
        text = format!("{text}\n      first at line {}: {}", group.first_line, message.replace('\n', " "));
        if let Some(hint) = &group.hint {
            text = format!("{text}\n      hint: {hint}");
        }
    }
    if groups.len() > SHOWN || account.other_failures > 0 {
        text = format!("{text}\n  and other kinds; see the `error` of each line");
    }
    Some(text)
}

/// How many sorts of failures are listed.
const SHOWN: usize = 8;

/// What seems wrong, and what might be done.
fn lints(account: &Account) -> Option<String> {
    let lines = account.lints.iter().map(|lint| {
        let whose = if lint.step.is_empty() { String::new() } else { format!("{}: ", lint.step) };
        format!("  {whose}{}\n      hint: {}", lint.message, lint.hint)
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| format!("noticed:\n{}", lines.join("\n")))
}
