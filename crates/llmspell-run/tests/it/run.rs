//! Runs: one line for each record, whatever happens.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmspell::Context;
use llmspell_flow::{Flow, Source, Toolbox};
use llmspell_run::{Input, Output, Run, RunEnd, Summary};
use llmspell_tools::Permissions;
use serde_json::Value;

fn flow(steps: &str) -> Flow {
    let text = format!("flow: f\nsteps:\n{steps}");
    let toolbox = Toolbox::built_in(&Permissions::none());
    Flow::parse(&Source::new("f.yaml", text), &toolbox).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// A writer whose text can be read afterwards.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn in_time(run: Run) -> Summary {
    tokio::time::timeout(Duration::from_secs(20), run.start(&Context::new())).await.expect("the run hangs")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_has_one_line_in_its_order() {
    let steps = "  - { id: a, tool: slow, with: { jitter_ms: 3, failure_rate: 0.2, value: \"${{ inputs.n }}\" } }\n";
    let records: String = (0..500).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    for ordered in [true, false] {
        let page = Page::default();
        let input = Input::from_reader("records", io::Cursor::new(records.clone()));
        let run = Run::new(flow(steps), input, Output::from_writer(page.clone())).limit(32);
        let summary = in_time(if ordered { run } else { run.unordered() }).await;
        assert!(matches!(summary.ending, RunEnd::Complete));
        let lines = page.lines();
        assert_eq!(lines.len(), 500);
        let mut indices: Vec<u64> = lines.iter().map(|line| line["index"].as_u64().unwrap()).collect();
        assert_eq!(indices.is_sorted(), ordered);
        indices.sort_unstable();
        assert!(indices.into_iter().eq(0..500));
        for line in &lines {
            assert_eq!(line["line"], line["index"].as_u64().unwrap() + 1);
            match line["status"].as_str().unwrap() {
                "ok" => assert_eq!(line["output"], line["index"]),
                _ => assert_eq!(line["error"]["path"], "f.a"),
            }
        }
        let failed = lines.iter().filter(|line| line["status"] == "failed").count() as u64;
        assert_eq!((summary.failed, summary.ok), (failed, 500 - failed));
        assert!((50..150).contains(&failed));
        assert_eq!(summary.failures.groups()[0].count, failed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_records_have_failed_outcomes() {
    let steps = "  - { id: a, tool: text, with: { value: \"${{ inputs.q }}\" } }\n";
    let records = b"\xEF\xBB\xBF{\"q\":\"a\"}\r\n\n{\"q\":\n[1]\n\"\xFF\"\n{}\n{\"q\":\"b\"}";
    let page = Page::default();
    let run = Run::new(flow(steps), Input::from_reader("records", &records[..]), Output::from_writer(page.clone()));
    let summary = in_time(run).await;
    let lines = page.lines();
    let seen: Vec<_> =
        lines.iter().map(|line| (line["line"].as_u64().unwrap(), line["status"].as_str().unwrap())).collect();
    assert_eq!(seen, [(1, "ok"), (3, "failed"), (4, "failed"), (5, "failed"), (6, "failed"), (7, "ok")]);
    assert_eq!(lines[1]["error"]["kind"], "invalid");
    assert!(lines[1]["error"]["message"].as_str().unwrap().starts_with("line 3 is not JSON"));
    assert!(lines[1]["error"].get("path").is_none());
    assert!(lines[3]["error"]["message"].as_str().unwrap().contains("not UTF-8"));
    assert_eq!(lines[4]["error"]["path"], "f.a");
    assert_eq!((summary.ok, summary.failed), (2, 4));
}

/// Records without end, each available at once.
struct Endless;

impl Read for Endless {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let line = b"{\"n\":1}\n";
        bytes[..line.len()].copy_from_slice(line);
        Ok(line.len())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_run_finishes_records_in_flight() {
    let page = Page::default();
    let steps = "  - { id: a, tool: slow, with: { delay_ms: 300 } }\n";
    let run = Run::new(flow(steps), Input::from_reader("records", Endless), Output::from_writer(page.clone())).limit(8);
    let (stop, progress) = (run.stop_handle(), run.progress());
    let stop = async {
        tokio::time::sleep(Duration::from_millis(450)).await;
        assert!((1..=8).contains(&progress.snapshot().in_flight));
        stop.drain();
    };
    let (summary, ()) = tokio::join!(in_time(run), stop);
    assert!(matches!(summary.ending, RunEnd::Drained));
    let lines = page.lines();
    assert_eq!(lines.len() as u64, summary.ok);
    assert!((9..=64).contains(&lines.len()), "{} lines", lines.len());
    assert_eq!(progress.snapshot().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_drains_with_its_last_records_in_flight_is_complete() {
    for (limit, is_complete) in [(4, true), (3, false)] {
        let page = Page::default();
        let steps = "  - { id: a, tool: slow, with: { delay_ms: 300 } }\n";
        let records = Input::from_reader("records", "{}\n{}\n{}\n{}\n".as_bytes());
        let run = Run::new(flow(steps), records, Output::from_writer(page.clone())).limit(limit);
        let (stop, progress) = (run.stop_handle(), run.progress());
        let stop = async {
            while progress.snapshot().in_flight < limit {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stop.drain();
        };
        let (summary, ()) = tokio::join!(in_time(run), stop);
        assert_eq!(matches!(summary.ending, RunEnd::Complete), is_complete, "{:?}", summary.ending);
        assert_eq!((page.lines().len(), summary.unread.is_none()), (limit, is_complete));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_run_ends_at_once() {
    let steps = "  - { id: a, tool: slow, with: { hang_rate: 1 } }\n";
    let run =
        Run::new(flow(steps), Input::from_reader("records", Endless), Output::from_writer(Page::default())).limit(8);
    let stop = run.stop_handle();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.drain();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.abort();
    };
    let began = tokio::time::Instant::now();
    let (summary, ()) = tokio::join!(in_time(run), stop);
    assert!(matches!(summary.ending, RunEnd::Aborted));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(summary.ok + summary.failed, 0);
}

/// A pipe whose reader stops reading.
struct Closed(io::ErrorKind);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_with_its_output() {
    let steps = "  - { id: a, tool: slow }\n";
    for (kind, quiet) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
        let output = Output::from_writer(Closed(kind));
        let summary = in_time(Run::new(flow(steps), Input::from_reader("records", Endless), output)).await;
        match summary.ending {
            RunEnd::OutputClosed => assert!(quiet),
            RunEnd::OutputFailed(error) => {
                assert!(!quiet && error.message().contains("writing the output failed"));
                assert!(error.hint().unwrap().contains("free space on the disk"));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// An input that cannot be read to its end.
struct Broken(bool);

impl Read for Broken {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.0, true) {
            return Err(io::Error::other("the disk is gone"));
        }
        bytes[..6].copy_from_slice(b"{}\n{}\n");
        Ok(6)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_input_ends_the_run() {
    let page = Page::default();
    let steps = "  - { id: a, tool: slow }\n";
    let input = Input::from_reader("records", Broken(false));
    let summary = in_time(Run::new(flow(steps), input, Output::from_writer(page.clone()))).await;
    assert_eq!(page.lines().len(), 2);
    match summary.ending {
        RunEnd::InputFailed(error) => assert!(error.message().contains("the disk is gone"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_the_outcome_of_its_record() {
    let boom = llmspell::Tool::new("boom", "Panics at 1.", |value: Value, _| async move {
        assert!(value["n"] != 1, "boom");
        Ok(value)
    });
    let text = "flow: f\nsteps: [{ id: a, tool: boom, with: { n: \"${{ inputs.n }}\" } }]\n";
    let flow = Flow::parse(&Source::new("f.yaml", text), &Toolbox::empty().with(boom.erase())).unwrap();
    let page = Page::default();
    let records = "\n{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n";
    let summary =
        in_time(Run::new(flow, Input::from_reader("records", records.as_bytes()), Output::from_writer(page.clone())))
            .await;
    assert_eq!((summary.ok, summary.failed), (2, 1));
    let line = &page.lines()[1];
    assert_eq!((&line["line"], &line["error"]["kind"]), (&3.into(), &"panicked".into()));
    assert!(line["error"]["message"].as_str().unwrap().contains("boom"), "{line}");
    assert_eq!(line["error"]["path"], "f.a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_context_is_cancelled_is_not_complete() {
    let folder = std::env::temp_dir().join(format!("llmspell-cancelled-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("out.jsonl");
    let records: String = (0..500).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let input = Input::from_reader("records", io::Cursor::new(records));
    let steps = "  - { id: a, tool: slow, with: { delay_ms: 5 }, limit: 2 }\n";
    let run = Run::new(flow(steps), input, Output::create(&path, false).unwrap());
    let (cx, canceller) = Context::new().cancellable();
    let cancelled = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        canceller.cancel();
    };
    let running = tokio::time::timeout(Duration::from_secs(20), run.start(&cx));
    let (summary, ()) = tokio::join!(running, cancelled);
    assert!(matches!(summary.unwrap().ending, RunEnd::Aborted));
    assert!(!path.exists(), "what is not complete does not take its place");
    std::fs::remove_dir_all(&folder).unwrap();
}
