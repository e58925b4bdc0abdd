//! `llmspell runs`: lists runs, steers running ones, and removes old ones.

use std::time::Duration;

use llmspell::Error;
use llmspell_run::{Journals, RunInfo};
use serde_json::Value;

use crate::exit::{CommandError, Exit};
use crate::load;
use crate::options::args::{RetentionArgs, RunsArgs, RunsCommand};
use crate::session;
use crate::ui::{runs, terminal};

/// How long a running run may take to reply to a command.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the reply is looked for.
const REPLY_POLL: Duration = Duration::from_millis(50);

/// Lists the runs, or works on some of them.
pub(super) fn runs(args: &RunsArgs) -> Result<Exit, CommandError> {
    let journals = session::journals(&args.state);
    let text = match &args.command {
        None => list(&journals, args.json)?,
        Some(RunsCommand::Show { run }) => show(&journals.info(run)?, args.json),
        Some(RunsCommand::Set { run, what }) => steer(&journals, run, what)?,
        Some(RunsCommand::Pause { run }) => steer(&journals, run, "pause")?,
        Some(RunsCommand::Continue { run }) => steer(&journals, run, "continue")?,
        Some(RunsCommand::Drain { run }) => steer(&journals, run, "drain")?,
        Some(RunsCommand::Rm { runs }) => {
            for run in runs {
                journals.remove(run)?;
            }
            format!("removed: {}", runs.join(", "))
        }
        Some(RunsCommand::Prune { retention }) => prune(&journals, retention)?,
    };
    terminal::data(&text)?;
    Ok(Exit::Ok)
}

fn list(journals: &Journals, as_json: bool) -> Result<String, CommandError> {
    let all = journals.list()?;
    if as_json {
        let all: Vec<Value> = all.iter().map(runs::facts).collect();
        return Ok(serde_json::to_string_pretty(&all).unwrap_or_default());
    }
    if all.is_empty() {
        return Ok(format!("no runs in {}", journals.folder().display()));
    }
    Ok(runs::table(&all))
}

fn show(run: &RunInfo, as_json: bool) -> String {
    match as_json {
        true => serde_json::to_string_pretty(&runs::facts(run)).unwrap_or_default(),
        false => runs::details(run),
    }
}

fn prune(journals: &Journals, retention: &RetentionArgs) -> Result<String, CommandError> {
    let removed = journals.prune(&session::retention(retention))?;
    Ok(match removed.as_slice() {
        [] => format!(
            "nothing to remove: the last {} complete runs of each flow are kept (--journal-keep N), and so are \
             incomplete ones; `llmspell runs rm RUN` removes any run",
            retention.journal_keep
        ),
        removed => format!("removed: {}", removed.join(", ")),
    })
}

/// Sends a command to a running run and returns its reply.
fn steer(journals: &Journals, run: &str, command: &str) -> Result<String, CommandError> {
    let id = journals.send_command(run, command)?;
    let reply = load::runtime()?.block_on(async {
        let reply = async {
            loop {
                if let Some(reply) = journals.answer(run, id)? {
                    return Ok::<_, Error>(reply);
                }
                tokio::time::sleep(REPLY_POLL).await;
            }
        };
        tokio::time::timeout(REPLY_TIMEOUT, reply).await
    });
    let reply = reply.map_err(|_| {
        let message = format!("error: the run {run} did not reply within {} s", REPLY_TIMEOUT.as_secs());
        let hint = "see its state with `llmspell runs`; if it is running, it obeys the command later";
        CommandError::invalid(format!("{message}\n\nhint: {hint}"))
    })??;
    match reply.strip_prefix("error: ") {
        Some(why) => {
            let (why, hint) = why.split_once("; ").unwrap_or((why, "see the commands in `llmspell help runs`"));
            Err(CommandError::invalid(format!("error: {why}\n\nhint: {hint}")))
        }
        None => Ok(reply),
    }
}
