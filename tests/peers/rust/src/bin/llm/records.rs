//! Real records through an agent with a concurrency limit, one outcome each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{LineWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use llmspell::model::{ModelError, Reply, Request};
use llmspell::tool::DynTool;
use llmspell::{Agent, Context, Error, Result, Step, step};
use llmspell_models::RemoteModel;
use model_peers::ensure;
use model_peers::tasks::{self, Accepted, Task};
use serde_json::{Value, json};

use super::force::{forced, has_called};
use super::model;

const RECORDS: usize = 200;
const LIMIT: usize = 4;

/// The most tokens of a call. Few calls take more than half.
const TOKENS: u32 = 96;

/// The number of records that must reach a call of their tool. In the others this model does not complete the call,
/// which is cut off at its token limit.
const ENOUGH: usize = RECORDS * 3 / 4;

/// Counts the concurrent requests to the models.
#[derive(Default)]
struct Gauge {
    running: AtomicUsize,
    peak: AtomicUsize,
}

/// Counts as running until it is dropped.
struct Running<'a>(&'a Gauge);

impl Gauge {
    fn start(&self) -> Running<'_> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(running, Ordering::SeqCst);
        Running(self)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Asks the model only for the call, and replies for it afterwards: its final words would take half of the time.
fn call_only(model: RemoteModel, gauge: Arc<Gauge>) -> impl Step<In = Request, Out = Reply> {
    let ask = Arc::new(forced(model, TOKENS));
    step(move |request: Request, cx: Context| {
        let (ask, gauge) = (ask.clone(), gauge.clone());
        async move {
            if has_called(&request) {
                return Ok(Reply::new(request.last_text()));
            }
            let _running = gauge.start();
            ask.run(request, &cx).await
        }
    })
}

/// Returns the agent for one task. Its tools return their arguments.
fn agent(task: &Task, model: RemoteModel, gauge: Arc<Gauge>) -> Result<Agent> {
    let tools = task.functions.iter().map(|function| {
        let echo = step(|arguments: Value, _| async move { Ok(arguments) });
        DynTool::from_schema(&function.callable(), &function.description, function.schema(), echo)
    });
    Agent::of(call_only(model, gauge)).tools(tools).max_turns(2).build()
}

/// Returns the class of a failure.
fn class(error: &Error) -> String {
    match error.downcast_ref::<ModelError>() {
        Some(cause) => cause.class.to_string(),
        None => error.kind().to_string(),
    }
}

/// Returns how many requests wait for a slot of a server.
async fn waiting(url: &str) -> Result<u32> {
    let text = reqwest::get(format!("{url}/metrics")).await?.text().await?;
    let value = text.lines().find_map(|line| line.strip_prefix("llamacpp:requests_deferred ")?.trim().parse().ok());
    value.ok_or_else(|| Error::failed("no `requests_deferred` in /metrics"))
}

/// Checks that every record has one outcome, in its own line, and that no more requests than the limit are at the
/// servers. The records alternate between the servers, because each computes with one thread.
pub(crate) async fn each_has_one_outcome(
    urls: [&str; 2],
    tasks: &str,
    answers: &str,
    outcomes: &str,
) -> Result<String> {
    let answers = tasks::read_answers(answers)?;
    let tasks: Vec<Task> = tasks::read(tasks)?.into_iter().take(RECORDS).collect();
    ensure(tasks.len() == RECORDS, || format!("expected {RECORDS} records, found {}", tasks.len()))?;
    let gauge = Arc::new(Gauge::default());
    let (models, counted) = ([model(urls[0])?, model(urls[1])?], gauge.clone());
    let solve = step(move |task: Task, cx: Context| {
        let model = models[cx.item().unwrap_or_default() % models.len()].clone();
        let agent = agent(&task, model, counted.clone());
        async move { agent?.run(task.prompt.as_str().into(), &cx).await }
    });
    let started = Instant::now();
    let cx = Context::new();
    let mut stream = solve.stream(tasks.clone(), &cx).limit(LIMIT);
    let mut out = LineWriter::new(File::create(outcomes)?);
    let (mut valid, mut right, mut tokens, mut most_waiting) = (0, 0, 0, 0);
    let mut seen = BTreeSet::new();
    let mut failures = BTreeMap::<String, usize>::new();
    let mut polled = Instant::now();
    while let Some(outcome) = stream.next().await {
        let task = &tasks[outcome.index];
        ensure(seen.insert(outcome.index), || format!("two outcomes of {}", task.id))?;
        tokens += outcome.provenance.usage().tokens();
        let mut line = json!({ "id": task.id, "tokens": outcome.provenance.usage().tokens() });
        match &outcome.result {
            Ok(reply) => {
                let arguments: Value = serde_json::from_str(&reply.text).unwrap_or_default();
                let fits = tasks::fits(&arguments, &task.functions[0].schema());
                let is_right =
                    answers.get(&task.id).is_some_and(|accepted: &Accepted| tasks::is_right(&arguments, accepted));
                valid += usize::from(fits);
                right += usize::from(is_right);
                line["call"] = arguments;
                line["valid"] = fits.into();
                line["right"] = is_right.into();
            }
            Err(error) => {
                *failures.entry(class(error)).or_default() += 1;
                line["error"] = serde_json::to_value(error)?;
            }
        }
        writeln!(out, "{line}")?;
        if polled.elapsed() > Duration::from_secs(1) {
            for url in urls {
                most_waiting = most_waiting.max(waiting(url).await?);
            }
            polled = Instant::now();
        }
    }
    let duration = started.elapsed();
    let failed: usize = failures.values().sum();
    ensure(seen.len() == RECORDS, || format!("expected {RECORDS} outcomes, found {}", seen.len()))?;
    let peak = gauge.peak.load(Ordering::SeqCst);
    ensure(peak == LIMIT, || format!("{peak} requests ran at a time, expected {LIMIT}"))?;
    ensure(most_waiting == 0, || format!("{most_waiting} requests waited for a slot: more than the limit"))?;
    ensure(RECORDS - failed >= ENOUGH, || format!("too many failed: {failures:?}"))?;
    ensure(valid == RECORDS - failed, || format!("{valid} calls of {} fit", RECORDS - failed))?;
    let failures: Vec<_> = failures.iter().map(|(class, times)| format!("{times} {class}")).collect();
    Ok(format!(
        "{RECORDS} outcomes in {:.0} s, {:.1} rows/min, {LIMIT} at once and none waiting at the servers; {valid} valid \
         calls, failed: {}; {tokens} tokens; not asserted: {right} right",
        duration.as_secs_f64(),
        RECORDS as f64 * 60.0 / duration.as_secs_f64(),
        if failures.is_empty() { "none".to_owned() } else { failures.join(", ") },
    ))
}
