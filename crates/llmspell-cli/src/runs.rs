//! `llmspell runs`: what was run here, and what is running.

mod table;

use std::time::Duration;

use llmspell_run::{Journals, RunInfo};
use serde_json::{Map, Value, json};

use crate::args::{ReportArgs, RunsArgs, RunsCommand};
use crate::exit::{Exit, Failure};
use crate::resume::latest;
use crate::{report, run, show};

/// How long a run that is running may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lists runs, or sees to some.
pub(crate) fn runs(args: &RunsArgs) -> Result<Exit, Failure> {
    let journals = run::journals(&args.state);
    let text = match &args.command {
        None => list(&journals, args.json)?,
        Some(RunsCommand::Show { run }) => one(&journals.info(run)?, args.json),
        Some(RunsCommand::Set { run, what }) => ask(&journals, run, what)?,
        Some(RunsCommand::Pause { run }) => ask(&journals, run, "pause")?,
        Some(RunsCommand::Continue { run }) => ask(&journals, run, "continue")?,
        Some(RunsCommand::Drain { run }) => ask(&journals, run, "drain")?,
        Some(RunsCommand::Rm { runs }) => {
            for run in runs {
                journals.remove(run)?;
            }
            format!("removed: {}", runs.join(", "))
        }
        Some(RunsCommand::Prune { retention }) => match journals.tidy(&run::retention(retention))?.as_slice() {
            [] => format!(
                "nothing to remove: the last {} complete runs of each flow stay (--journal-keep N), and those that can be \
                 resumed; `llmspell runs rm RUN` takes any",
                retention.journal_keep
            ),
            gone => format!("removed: {}", gone.join(", ")),
        },
    };
    show::data(&text).map_err(Failure::output)?;
    Ok(Exit::Ok)
}

/// Shows what a run came to.
pub(crate) fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let journals = run::journals(&args.state);
    let name = match &args.run {
        Some(name) => name.clone(),
        None => match latest(&journals.list()?, |run| run.story.is_ok()) {
            Some(run) => run.name.clone(),
            None => return Err(nothing(&journals, "report on")),
        },
    };
    let info = journals.info(&name)?;
    let story = info.story.clone()?;
    let Some(json) = story.report else {
        let message = format!("error: the run {name} has no report ({})", info.state_in_words());
        return Err(Failure::invalid(format!(
            "{message}\n\nhint: it is written when a session ends; `llmspell runs show {name}` counts its records"
        )));
    };
    let text = if args.json {
        json
    } else {
        let account = serde_json::from_str(&json).map_err(|error| {
            let message = format!("error: the report of the run {name} cannot be read: {error}");
            Failure::invalid(format!("{message}\n\nhint: --json shows it as it is"))
        })?;
        format!("{}\n{}", table::table(&[info]), report::later(&account, show::terminal_width()))
    };
    show::data(text.trim_end()).map_err(Failure::output)?;
    Ok(Exit::Ok)
}

/// That there is no run that could be meant.
pub(crate) fn nothing(journals: &Journals, to: &str) -> Failure {
    let message = format!("error: there is no run to {to} in {}", journals.folder().display());
    Failure::invalid(format!("{message}\n\nhint: `llmspell runs` lists all; --state names another folder"))
}

fn list(journals: &Journals, as_json: bool) -> Result<String, Failure> {
    let all = journals.list()?;
    if as_json {
        let all: Vec<Value> = all.iter().map(facts).collect();
        return Ok(serde_json::to_string_pretty(&all).unwrap_or_default());
    }
    if all.is_empty() {
        return Ok(format!("no runs in {}", journals.folder().display()));
    }
    Ok(table::table(&all))
}

fn one(run: &RunInfo, as_json: bool) -> String {
    let mut facts = facts(run);
    if as_json {
        return serde_json::to_string_pretty(&facts).unwrap_or_default();
    }
    facts["state"] = run.state_in_words().into();
    // It has been started once.
    if facts["last_began"] == facts["began"] {
        facts["last_began"] = Value::Null;
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let facts = facts.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    facts.map(|(name, value)| format!("{name:12}{}", text(value))).collect::<Vec<_>>().join("\n")
}

fn facts(run: &RunInfo) -> Value {
    let mut all = Map::new();
    all.insert("run".to_owned(), run.name.clone().into());
    all.insert("state".to_owned(), run.state().into());
    all.insert("bytes".to_owned(), run.size.into());
    match &run.story {
        Err(error) => {
            all.insert("problem".to_owned(), error.to_string().into());
        }
        Ok(story) => {
            let options = story.fact("options").and_then(|words| serde_json::from_str::<Value>(words).ok());
            let rest = json!({
                "flow": story.fact("flow"),
                "began": story.began,
                "last_began": story.last_began,
                "ended": story.ended,
                "sessions": story.sessions,
                "reached": story.reached,
                "ok": story.counts.map(|counts| counts.ok),
                "degraded": story.counts.map(|counts| counts.degraded),
                "failed": story.counts.map(|counts| counts.failed),
                "to_do": table::to_do(run, story),
                "folder": story.fact("folder"),
                "options": options,
            });
            all.extend(rest.as_object().cloned().unwrap_or_default());
        }
    }
    Value::Object(all)
}

/// Asks a run that is running, and waits for what it says.
fn ask(journals: &Journals, run: &str, what: &str) -> Result<String, Failure> {
    let asked = journals.ask(run, what)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| Failure::invalid(format!("error: {error}\n\nhint: try again")))?;
    let answer = runtime.block_on(async {
        let answered = async {
            loop {
                if let Some(answer) = journals.answer(run, asked)? {
                    return Ok::<_, llmspell::Error>(answer);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answered).await
    });
    let answer = answer.map_err(|_| {
        let message = format!("error: the run {run} has not answered within {} s", PATIENCE.as_secs());
        Failure::invalid(format!(
            "{message}\n\nhint: it does so as soon as it can; `llmspell runs` tells if it has ended"
        ))
    })??;
    match answer.strip_prefix("error: ") {
        Some(why) => {
            let (why, hint) = why.split_once("; ").unwrap_or((why, "`llmspell help runs` says what can be asked"));
            Err(Failure::invalid(format!("error: {why}\n\nhint: {hint}")))
        }
        None => Ok(answer),
    }
}
