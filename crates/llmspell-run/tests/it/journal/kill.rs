//! A process that is killed, and resumes to the same output.
//!
//! The child is this test program itself; its environment tells it to run one session and nothing else.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use llmspell::tool::DynTool;
use llmspell::{Context, Error, step};
use llmspell_flow::{Flow, Source, Toolbox};
use llmspell_run::{Input, Journals, Output, Run, RunEnd};
use llmspell_tools::Permissions;
use serde_json::{Value, json};

use crate::journal::world::records;

const CHILD: &str = "LLMSPELL_TEST_FOLDER";
const RECORDS: u64 = 1_500;
const LIMIT: usize = 16;

const STEPS: &str = "
  - { id: a, tool: work, with: { step: a, n: \"${{ inputs.n }}\" } }
  - { id: b, tool: work, with: { step: b, n: \"${{ steps.a }}\" } }
";

/// Records each call in a file before it answers; a thirteenth of the calls fail.
fn flow(folder: &Path) -> Flow {
    let calls = folder.join("calls");
    let work = step(move |arguments: Value, _| {
        let calls = calls.clone();
        async move {
            let n = arguments["n"].as_u64().unwrap();
            let call = format!("{} {n}\n", arguments["step"].as_str().unwrap());
            // One short append to a file is written as a whole or not at all.
            let mut file = OpenOptions::new().append(true).create(true).open(calls).unwrap();
            file.write_all(call.as_bytes()).unwrap();
            tokio::time::sleep(Duration::from_millis(n % 4)).await;
            if n % 13 == 5 { Err(Error::failed("no")) } else { Ok(Value::from(n)) }
        }
    });
    let parameters = json!({ "type": "object", "properties": { "step": {}, "n": {} } });
    let work = DynTool::from_schema("work", "Works.", parameters, work);
    let toolbox = Toolbox::built_in(&Permissions::none()).with(work);
    Flow::parse(&Source::new("f.yaml", format!("flow: f\nsteps:{STEPS}")), &toolbox).unwrap_or_else(|e| panic!("{e}"))
}

/// Not a test: one session of the run, if the environment requests it.
#[tokio::test(flavor = "multi_thread")]
async fn one_session() {
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let journals = Journals::in_state(&folder.join("state"));
    let flow = flow(&folder);
    let journal = match journals.list().unwrap().first() {
        // Killed before it had a single table, the journal holds nothing that could be lost.
        Some(run) if run.problem().is_none() => journals.open(&run.name).unwrap(),
        _ => journals.begin(&flow).unwrap(),
    };
    let input = Input::open(&folder.join("in.jsonl")).unwrap();
    let output = Output::create(&folder.join("out.jsonl"), true).unwrap();
    let summary = Run::new(flow, input, output).limit(LIMIT).journal(journal).start(&Context::new()).await;
    assert!(matches!(summary.ending, RunEnd::Complete), "{:?}", summary.ending);
}

fn session(folder: &Path) -> std::process::Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "journal::kill::one_session", "--test-threads", "1"]).env(CHILD, folder);
    child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_killed_run_resumes_to_the_same_output() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("in.jsonl"), records(0..RECORDS)).unwrap();
    let calls = || fs::read_to_string(folder.join("calls")).unwrap_or_default();
    let mut kills = 0;
    let mut dice = fastrand::Rng::with_seed(5);
    while kills < 6 {
        let before = calls().lines().count();
        let wanted = before + dice.usize(1..500);
        let mut child = session(folder);
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if calls().lines().count() >= wanted {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::yield_now();
        };
        match ended {
            Some(status) => assert!(status.success(), "a session failed by itself"),
            None => kills += 1,
        }
        if ended.is_some() {
            break;
        }
    }
    assert!(kills >= 2);
    assert!(session(folder).wait().unwrap().success());

    let out = fs::read_to_string(folder.join("out.jsonl")).unwrap();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() as u64, RECORDS);
    for (n, line) in (0..RECORDS).zip(&lines) {
        let wanted = if n % 13 == 5 { Value::Null } else { n.into() };
        assert_eq!((line["index"].as_u64(), &line["output"]), (Some(n), &wanted));
    }
    let mut times = HashMap::<&str, usize>::new();
    let calls = calls();
    calls.lines().for_each(|call| *times.entry(call).or_default() += 1);
    let wanted = (0..RECORDS).map(|n| if n % 13 == 5 { 1 } else { 2 }).sum::<usize>();
    assert_eq!(times.len(), wanted, "every step of every record was called");
    let repeated = calls.lines().count() - wanted;
    assert!(repeated <= kills * LIMIT, "{repeated} calls were repeated after {kills} kills");
}
