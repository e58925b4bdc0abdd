//! Commands to a run in progress.

use std::time::Duration;

use llmspell::Context;
use llmspell_run::{Input, Output, Run, RunEnd};

use crate::journal::world::{World, records};

async fn answer_to(world: &World, command: &str) -> String {
    let id = world.journals().send_command("f-1", command).unwrap();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Some(answer) = world.journals().answer("f-1", id).unwrap() {
            return answer;
        }
    }
    panic!("no answer to {command}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_executes_commands() {
    let world = World::new();
    world.plays(|_, _| "slow");
    let steps = "\n  - { id: a, tool: work, with: { step: a, n: \"${{ inputs.n }}\" }, limit: 2 }\n";
    let flow = || world.flow("", steps);
    let (run, _) = world.run_of(flow(), world.journals().begin(&flow()).unwrap(), &records(0..10_000));
    let progress = run.progress();
    let cx = Context::new();
    let ask = async {
        while progress.snapshot().done() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // No other process can resume the run, and it is shown as running.
        assert!(world.journals().open("f-1").unwrap_err().message().contains("is running"));
        assert!(world.journals().info("f-1").unwrap().is_running);
        assert!(world.journals().remove("f-1").is_err());

        assert_eq!(answer_to(&world, "limit.a=5").await, "limit.a = 5, was 2");
        assert!(answer_to(&world, "limit.b=5").await.contains("steps with a limit: a"));
        assert!(answer_to(&world, "limit.a=0").await.starts_with("error:"));
        assert!(answer_to(&world, "dance").await.contains("pause, continue, drain"));
        assert!(answer_to(&world, "pause").await.starts_with("paused"));
        while progress.snapshot().in_flight > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let paused = progress.snapshot().done();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(progress.snapshot().done(), paused);
        assert!(progress.snapshot().paused);
        assert_eq!(world.journals().info("f-1").unwrap().state(), "paused");
        answer_to(&world, "continue").await;
        assert_eq!(world.journals().list().unwrap()[0].state(), "running");
        assert!(!progress.snapshot().paused);
        while progress.snapshot().done() == paused {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        answer_to(&world, "drain").await;
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (summary, ()) = tokio::join!(running, ask);
    let summary = summary.unwrap();
    assert!(matches!(summary.ending, RunEnd::Drained));
    let info = world.journals().info("f-1").unwrap();
    let run_record = info.record.as_ref().unwrap();
    assert!(!info.is_running && !info.is_complete());
    assert_eq!((run_record.ending.as_deref(), run_record.sessions), (Some("drained"), 1));
    assert_eq!((info.state(), info.state_label()), ("drained", "interrupted"));
    assert_eq!(run_record.counts.unwrap().ok, summary.ok);
    assert_eq!((run_record.reached, run_record.to_do), (summary.ok, Some(10_000 - summary.ok)));
    assert_eq!(run_record.meta("flow"), Some("f"));
    let error = world.journals().send_command("f-1", "pause").unwrap_err();
    assert_eq!(error.message(), "the run f-1 is not running (interrupted)");
    assert_eq!(error.hint(), Some("resume it: llmspell resume f-1"));
}

/// A run of a step whose calls never end; `commands` are sent, and each names the number of calls that then run.
async fn check_controls(configured_limit: Option<usize>, commands: &[(&str, &str, usize)]) {
    let world = World::new();
    world.plays(|_, _| "hangs");
    let steps = "\n  - { id: a, tool: work, with: { step: a, n: \"${{ inputs.n }}\" }, limit: 2 }\n";
    let flow = || world.flow("", steps);
    let input = Input::from_reader("records", std::io::Cursor::new(records(0..1000)));
    let run = Run::new(flow(), input, Output::from_writer(std::io::sink()));
    let run = run.journal(world.journals().begin(&flow()).unwrap());
    let run = if let Some(limit) = configured_limit { run.limit(limit) } else { run };
    let (stop, progress, cx) = (run.stop_handle(), run.progress(), Context::new());
    let asking = async {
        let mut begun = 0;
        for (command, answer, calls) in commands {
            if !command.is_empty() {
                assert_eq!(answer_to(&world, command).await, *answer);
            }
            // As many as the limits allow, and not one more.
            for _ in 0..200 {
                begun += world.calls().len();
                if begun == *calls {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            begun += world.calls().len();
            assert_eq!(begun, *calls, "after {command}: {} in flight", progress.snapshot().in_flight);
        }
        stop.abort();
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (summary, ()) = tokio::join!(running, asking);
    assert!(matches!(summary.unwrap().ending, RunEnd::Aborted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_step_limit_raises_the_records_in_flight() {
    let more = ("limit.a=50", "limit.a = 50, was 2; at most 51 records in flight, was 3", 50);
    let less = ("limit.a=1", "limit.a = 1, was 50; at most 3 records in flight, was 51", 50);
    check_controls(None, &[("", "", 2), more, less]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_number_of_records_in_flight_changes_only_by_command() {
    let step = ("limit.a=20", "limit.a = 20, was 2; only 3 records can be in flight: set limit=20 for more", 3);
    let records = ("limit=10", "limit = 10 records in flight, was 3", 10);
    let again = ("limit.a=30", "limit.a = 30, was 20; only 10 records can be in flight: set limit=30 for more", 10);
    check_controls(
        Some(3),
        &[("", "", 2), step, records, again, ("limit=25", "limit = 25 records in flight, was 10", 25)],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_change_during_a_run() {
    let world = World::new();
    let steps = "\n  - { id: a, tool: work, with: { step: a, n: \"${{ inputs.n }}\" }, rate: 1/h }\n";
    let flow = || world.flow("", steps);
    let (run, _) = world.run_of(flow(), world.journals().begin(&flow()).unwrap(), &records(0..2000));
    let (run, cx) = (run.rate(llmspell::Rate::per(4, Duration::from_secs(3600))), Context::new());
    let asking = async {
        while world.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(answer_to(&world, "rate.b=1/s").await.ends_with("steps with a rate: a"));
        assert!(answer_to(&world, "rate=fast").await.starts_with("error: `fast` is not a number per period"));
        assert!(answer_to(&world, "limit.a=3").await.ends_with("steps with a limit: no step has one"));
        assert_eq!(answer_to(&world, "rate.a=100000/s").await, "rate.a = 100000/s, was 1/h");
        // The last command, because the run may end at once after it.
        assert_eq!(answer_to(&world, "rate=100000/s").await, "rate = 100000/s, was 4/h");
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (summary, ()) = tokio::join!(running, asking);
    assert!(matches!(summary.unwrap().ending, RunEnd::Complete));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_can_drain() {
    let world = World::new();
    world.plays(|_, _| "slow");
    let (run, _) = world.run(world.begin(), &records(0..100_000));
    let (progress, cx) = (run.progress(), Context::new());
    let ask = async {
        while progress.snapshot().done() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        answer_to(&world, "pause").await;
        answer_to(&world, "drain").await;
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (summary, ()) = tokio::join!(running, ask);
    assert!(matches!(summary.unwrap().ending, RunEnd::Drained));
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_commands_of_an_earlier_session_are_rejected() {
    let world = World::new();
    world.through(world.begin(), &records(0..3)).await;
    let db = world.db("f-1");
    for command in ["pause", "drain"] {
        db.execute("INSERT INTO command (text, asked) VALUES (?, '')", [command]).unwrap();
    }
    drop(db);
    world.plays(|_, _| "slow");
    let (summary, _) = world.through(world.resume(), &records(0..100)).await;
    assert!(matches!(summary.ending, RunEnd::Complete), "{:?}", summary.ending);
    assert!(!world.journals().info("f-1").unwrap().record.unwrap().is_paused);
    for command in 1..=2 {
        assert_eq!(world.journals().answer("f-1", command).unwrap().unwrap(), "error: the run had ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_run_is_not_paused() {
    let world = World::new();
    world.plays(|_, _| "hangs");
    let (run, _) = world.run(world.begin(), &records(0..100));
    let (stop, progress, cx) = (run.stop_handle(), run.progress(), Context::new());
    let ask = async {
        while world.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Spaces change nothing.
        answer_to(&world, "pause ").await;
        let state = || world.journals().info("f-1").unwrap().state().to_owned();
        assert!(progress.snapshot().paused && state() == "paused");
        stop.drain();
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if state() == "running" {
                break;
            }
        }
        let now = progress.snapshot();
        assert!(now.stopping && !now.paused && state() == "running", "{}", state());
        assert_eq!(answer_to(&world, "pause").await, "error: the run is already stopping");
        assert!(!progress.snapshot().paused && state() == "running");
        stop.abort();
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (summary, ()) = tokio::join!(running, ask);
    assert!(matches!(summary.unwrap().ending, RunEnd::Aborted));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_at_the_end_are_answered() {
    let world = World::new();
    world.plays(|_, _| "hangs");
    let (run, _) = world.run(world.begin(), &records(0..10));
    let (stop, cx) = (run.stop_handle(), Context::new());
    let ask = async {
        while world.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        answer_to(&world, "continue").await;
        let commands = world.journals().send_command("f-1", "continue").unwrap();
        stop.abort();
        commands
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (_, commands) = tokio::join!(running, ask);
    let written: String =
        world.db("f-1").query_row("SELECT answer FROM command WHERE id = ?", [commands], |row| row.get(0)).unwrap();
    assert!(["error: the run had ended", "continued"].contains(&written.as_str()), "{written}");
    // A process that no longer exists is not waited for.
    world.db("f-1").execute("UPDATE command SET answer = NULL", []).unwrap();
    assert_eq!(world.journals().answer("f-1", commands).unwrap().unwrap(), "error: the run had ended");
}
