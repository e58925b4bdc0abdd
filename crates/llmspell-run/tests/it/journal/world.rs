//! A folder with journals, and a tool that counts its calls.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::tool::DynTool;
use llmspell::{Context, Error, ErrorKind, Result, step};
use llmspell_flow::{Flow, Source, Toolbox};
use llmspell_run::{Input, Journal, Journals, Output, Run, Summary};
use llmspell_tools::Permissions;
use rusqlite::Connection;
use serde_json::{Value, json};

/// The behaviour of the tool for a record at a step: `fine`, `failed`, `timeout`, `denied`, `panics`, `hangs`, `slow`,
/// `large`, or `own` (a large output for each step and record). `tells` and `degrades` reveal the argument `secret`.
type Script = Arc<dyn Fn(&str, &Value) -> &'static str + Send + Sync>;

#[derive(Clone)]
pub(crate) struct World {
    folder: Arc<tempfile::TempDir>,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
    script: Arc<Mutex<Script>>,
}

pub(crate) const TWO_STEPS: &str = "
  - { id: a, tool: work, with: { step: a, n: \"${{ inputs.n }}\" } }
  - { id: b, tool: work, with: { step: b, n: \"${{ steps.a }}\" } }
";

impl World {
    pub(crate) fn new() -> Self {
        let fine: Script = Arc::new(|_, _| "fine");
        World {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            calls: Arc::default(),
            script: Arc::new(Mutex::new(fine)),
        }
    }

    pub(crate) fn plays(&self, script: impl Fn(&str, &Value) -> &'static str + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// Returns the calls since the last time.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    pub(crate) fn journals(&self) -> Journals {
        Journals::in_state(&self.folder.path().join("state"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn db(&self, run: &str) -> Connection {
        Connection::open(self.journals().folder().join(format!("{run}.db"))).unwrap()
    }

    fn toolbox(&self) -> Toolbox {
        let world = self.clone();
        let work = step(move |arguments: Value, cx| {
            let world = world.clone();
            async move { world.work(arguments, cx).await }
        });
        let parameters = json!({
            "type": "object",
            "properties": { "step": { "type": "string" }, "n": {}, "version": {}, "secret": {} },
            "required": ["step", "n"],
        });
        let work = DynTool::from_schema("work", "Works.", parameters, work);
        Toolbox::built_in(&Permissions::none()).with(work)
    }

    async fn work(&self, arguments: Value, cx: Context) -> Result<Value> {
        let (step, n) = (arguments["step"].as_str().unwrap().to_owned(), arguments["n"].clone());
        self.calls.lock().unwrap().push((step.clone(), n.clone()));
        let script = self.script.lock().unwrap().clone();
        match script(&step, &n) {
            "fine" => Ok(n),
            "slow" => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok(n)
            }
            "large" => Ok("x".repeat(10_000).into()),
            "own" => {
                let of = n.as_str().and_then(|text| text.split(' ').nth(1)).map_or(n.to_string(), str::to_owned);
                Ok(format!("{step} {of} {}", "x".repeat(5_000)).into())
            }
            "failed" => Err(Error::failed("no")),
            "timeout" => Err(Error::new(ErrorKind::Timeout, "late")),
            "denied" => Err(Error::denied("no money")),
            "tells" => {
                let secret = || Error::failed(arguments["secret"].to_string());
                Err(Error::new(ErrorKind::AllFailed, "in vain").with_causes(vec![secret().with_causes(vec![secret()])]))
            }
            "degrades" => {
                cx.mark_partial(Error::failed(arguments["secret"].to_string()));
                Ok(json!({ "said": arguments["secret"] }))
            }
            "panics" => panic!("{}", arguments["secret"]),
            "hangs" => std::future::pending().await,
            other => panic!("{other}?"),
        }
    }

    pub(crate) fn flow(&self, head: &str, steps: &str) -> Flow {
        let text = format!("flow: f\n{head}\nsteps:{steps}");
        Flow::parse(&Source::new("f.yaml", text), &self.toolbox()).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    pub(crate) fn two_steps(&self) -> Flow {
        self.flow("", TWO_STEPS)
    }

    pub(crate) fn begin(&self) -> Journal {
        self.journals().begin(&self.two_steps()).unwrap()
    }

    pub(crate) fn resume(&self) -> Journal {
        self.journals().open("f-1").unwrap()
    }

    /// Returns a run over two steps, and its output.
    pub(crate) fn run(&self, journal: Journal, records: &str) -> (Run, Page) {
        self.run_of(self.two_steps(), journal, records)
    }

    pub(crate) fn run_of(&self, flow: Flow, journal: Journal, records: &str) -> (Run, Page) {
        let page = Page::default();
        let input = Input::from_reader("records", io::Cursor::new(records.to_owned()));
        (Run::new(flow, input, Output::from_writer(page.clone())).limit(8).journal(journal), page)
    }

    /// Runs to the end.
    pub(crate) async fn through(&self, journal: Journal, records: &str) -> (Summary, Page) {
        let (run, page) = self.run(journal, records);
        (in_time(run).await, page)
    }

    pub(crate) async fn through_flow(&self, flow: Flow, journal: Journal, records: &str) -> (Summary, Page) {
        let (run, page) = self.run_of(flow, journal, records);
        (in_time(run).await, page)
    }
}

pub(crate) async fn in_time(run: Run) -> Summary {
    tokio::time::timeout(Duration::from_secs(20), Box::pin(run.start(&Context::new()))).await.expect("the run hangs")
}

/// Returns `{"n":0}` and so on.
pub(crate) fn records(range: std::ops::Range<u64>) -> String {
    range.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// A writer whose text can be read afterwards.
#[derive(Clone, Default)]
pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn outputs(&self) -> Vec<Value> {
        self.lines().iter().map(|line| line["output"].clone()).collect()
    }
}
