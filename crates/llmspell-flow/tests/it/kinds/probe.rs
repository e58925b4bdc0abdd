//! A tool that can be watched, and flows that call it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::step::BoxStep;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, Outcome, Step, step};
use llmspell_flow::{Flow, Source, Toolbox};
use llmspell_tools::Permissions;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// The counters of the calls of `work`.
#[derive(Clone, Default)]
pub(crate) struct Probe(Arc<Calls>);

#[derive(Default)]
struct Calls {
    alive: AtomicUsize,
    most: AtomicUsize,
    completed: AtomicUsize,
    begun: Mutex<Vec<(String, Instant)>>,
}

struct Alive(Probe);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Probe {
    /// How many calls were alive at once.
    pub(crate) fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }

    /// How many are.
    pub(crate) fn alive(&self) -> usize {
        self.0.alive.load(Ordering::SeqCst)
    }

    /// How many came to their end.
    pub(crate) fn completed(&self) -> usize {
        self.0.completed.load(Ordering::SeqCst)
    }

    /// How many began.
    pub(crate) fn begun(&self) -> usize {
        self.0.begun.lock().unwrap().len()
    }

    /// When each began, in milliseconds from the first.
    pub(crate) fn starts(&self) -> Vec<u128> {
        let begun = self.0.begun.lock().unwrap();
        begun.iter().map(|(_, at)| (*at - begun[0].1).as_millis()).collect()
    }

    /// The values of the calls, in the order in which they began.
    pub(crate) fn order(&self) -> Vec<String> {
        self.0.begun.lock().unwrap().iter().map(|(value, _)| value.clone()).collect()
    }

    fn enter(&self, value: &Value) -> Alive {
        self.0.begun.lock().unwrap().push((value.to_string().replace('"', ""), Instant::now()));
        let alive = self.0.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(alive, Ordering::SeqCst);
        Alive(self.clone())
    }

    /// A tool that takes `ms`, with output after `shows`, and then returns `value` or fails with `fails`. The first `bad`
    /// calls fail. `degrades` marks the output as partial.
    fn tool(&self, name: &str, idempotent: bool) -> DynTool {
        let probe = self.clone();
        let work = step(move |args: Value, cx: Context| {
            let probe = probe.clone();
            async move {
                let alive = probe.enter(&args["value"]);
                let number = probe.begun() as u64;
                let ms = args["ms"].as_u64().unwrap_or(0);
                let shows = args["shows"].as_u64().filter(|shows| *shows <= ms);
                sleep(Duration::from_millis(shows.unwrap_or(ms))).await;
                if let Some(shows) = shows {
                    cx.emit("a").await?;
                    sleep(Duration::from_millis(ms - shows)).await;
                }
                drop(alive);
                probe.0.completed.fetch_add(1, Ordering::SeqCst);
                if number <= args["bad"].as_u64().unwrap_or(0) {
                    return Err(Error::failed("a bad start").transient());
                }
                if let Some(less) = args["degrades"].as_str() {
                    cx.mark_partial(Error::failed(format!("less: {less}")));
                }
                match args["fails"].as_str() {
                    None | Some("") => Ok(args["value"].clone()),
                    Some("busy") => Err(Error::new(llmspell::ErrorKind::Overloaded, "busy")),
                    Some(message) => Err(Error::failed(message.to_owned()).transient()),
                }
            }
        });
        let schema = json!({ "type": "object" });
        if idempotent {
            DynTool::from_schema(name, "Works.", schema, work.idempotent())
        } else {
            DynTool::from_schema(name, "Works.", schema, work)
        }
    }

    fn toolbox(&self) -> Toolbox {
        let toolbox = Toolbox::built_in(&Permissions::none());
        toolbox.with(self.tool("work", true)).with(self.tool("once", false))
    }

    /// A flow with these lines below `flow: f`.
    pub(crate) fn flow(&self, text: &str) -> BoxStep<Value, Value> {
        self.read(text).unwrap_or_else(|wrong| panic!("{wrong}")).into_step()
    }

    pub(crate) fn read(&self, text: &str) -> Result<Flow, llmspell_flow::Diagnostics> {
        Flow::parse(&Source::new("f.yaml", format!("flow: f\n{text}")), &self.toolbox())
    }

    pub(crate) async fn run(&self, text: &str, record: Value) -> Ran {
        let flow = self.flow(text).with_outcome();
        let cx = Context::recording();
        let began = Instant::now();
        let outcome = flow.run(record, &cx).await.unwrap();
        Ran { ms: began.elapsed().as_millis(), outcome, cx }
    }
}

/// The outcome of a record, and the time that it took.
pub(crate) struct Ran {
    pub(crate) ms: u128,
    pub(crate) outcome: Outcome<Value>,
    pub(crate) cx: Context,
}

impl Ran {
    #[track_caller]
    pub(crate) fn output(self) -> Value {
        self.outcome.result.unwrap()
    }

    #[track_caller]
    pub(crate) fn error(&self) -> &Error {
        self.outcome.result.as_ref().unwrap_err()
    }

    pub(crate) fn causes(&self) -> Vec<String> {
        self.outcome.causes.iter().map(ToString::to_string).collect()
    }
}
