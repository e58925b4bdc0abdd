//! What a run does while it runs.

use std::time::Duration;

use llmspell::Context;
use llmspell_run::{Ending, Input, Output, Run};

use crate::journal::world::{World, records};

async fn told(world: &World, command: &str) -> String {
    let id = world.journals().ask("f-1", command).unwrap();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Some(answer) = world.journals().answer("f-1", id).unwrap() {
            return answer;
        }
    }
    panic!("no answer to {command}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_what_it_is_asked() {
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
        // Nobody else can go on with it, and it is shown to run.
        assert!(world.journals().open("f-1").unwrap_err().message().contains("is running"));
        assert!(world.journals().info("f-1").unwrap().is_running);
        assert!(world.journals().remove("f-1").is_err());

        assert_eq!(told(&world, "limit.a=5").await, "limit.a = 5, was 2");
        assert!(told(&world, "limit.b=5").await.contains("there are: a"));
        assert!(told(&world, "limit.a=0").await.starts_with("error:"));
        assert!(told(&world, "dance").await.contains("pause, continue, drain"));
        assert!(told(&world, "pause").await.starts_with("paused"));
        while progress.snapshot().in_flight > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let paused = progress.snapshot().done();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(progress.snapshot().done(), paused);
        assert!(progress.snapshot().paused);
        assert_eq!(world.journals().info("f-1").unwrap().state(), "paused");
        told(&world, "continue").await;
        assert_eq!(world.journals().list().unwrap()[0].state(), "running");
        assert!(!progress.snapshot().paused);
        while progress.snapshot().done() == paused {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        told(&world, "drain").await;
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (summary, ()) = tokio::join!(running, ask);
    let summary = summary.unwrap();
    assert!(matches!(summary.ending, Ending::Drained));
    let info = world.journals().info("f-1").unwrap();
    let story = info.story.as_ref().unwrap();
    assert!(!info.is_running && !info.is_complete());
    assert_eq!((story.ending.as_deref(), story.sessions), (Some("drained"), 1));
    assert_eq!((info.state(), info.state_in_words()), ("drained", "interrupted"));
    assert_eq!(story.counts.unwrap().ok, summary.ok);
    assert_eq!((story.reached, story.to_do), (summary.ok, Some(10_000 - summary.ok)));
    assert_eq!(story.fact("flow"), Some("f"));
    let error = world.journals().ask("f-1", "pause").unwrap_err();
    assert_eq!(error.message(), "the run f-1 is not running (interrupted)");
    assert_eq!(error.hint(), Some("go on with it: llmspell resume f-1"));
}

/// A run of a step whose calls never end, and what is asked of it while so many of them run.
async fn steered(told_limit: Option<usize>, asked: &[(&str, &str, usize)]) {
    let world = World::new();
    world.plays(|_, _| "hangs");
    let steps = "\n  - { id: a, tool: work, with: { step: a, n: \"${{ inputs.n }}\" }, limit: 2 }\n";
    let flow = || world.flow("", steps);
    let input = Input::from_reader("records", std::io::Cursor::new(records(0..1000)));
    let run = Run::new(flow(), input, Output::from_writer(std::io::sink()));
    let run = run.journal(world.journals().begin(&flow()).unwrap());
    let run = if let Some(limit) = told_limit { run.limit(limit) } else { run };
    let (brake, progress, cx) = (run.brake(), run.progress(), Context::new());
    let asking = async {
        let mut begun = 0;
        for (command, answer, calls) in asked {
            if !command.is_empty() {
                assert_eq!(told(&world, command).await, *answer);
            }
            // As many as there may be, and not one more.
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
        brake.abort();
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (summary, ()) = tokio::join!(running, asking);
    assert!(matches!(summary.unwrap().ending, Ending::Aborted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_given_more_room_makes_use_of_it() {
    let more = ("limit.a=50", "limit.a = 50, was 2; at most 51 records in flight, was 3", 50);
    let less = ("limit.a=1", "limit.a = 1, was 50; at most 3 records in flight, was 51", 50);
    steered(None, &[("", "", 2), more, less]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_number_of_records_was_said_it_is_raised_by_itself() {
    let step = ("limit.a=20", "limit.a = 20, was 2; but at most 3 records are in flight: set limit=20 for more", 3);
    let records = ("limit=10", "limit = 10 records in flight, was 3", 10);
    let again = ("limit.a=30", "limit.a = 30, was 20; but at most 10 records are in flight: set limit=30 for more", 10);
    steered(Some(3), &[("", "", 2), step, records, again, ("limit=25", "limit = 25 records in flight, was 10", 25)])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_changed_while_it_runs() {
    let world = World::new();
    let steps = "\n  - { id: a, tool: work, with: { step: a, n: \"${{ inputs.n }}\" }, rate: 1/h }\n";
    let flow = || world.flow("", steps);
    let (run, _) = world.run_of(flow(), world.journals().begin(&flow()).unwrap(), &records(0..2000));
    let (run, cx) = (run.rate(llmspell::Rate::per(4, Duration::from_secs(3600))), Context::new());
    let asking = async {
        while world.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(told(&world, "rate.b=1/s").await.ends_with("there are: a"));
        assert!(told(&world, "rate=fast").await.starts_with("error: `fast` is not a number per period"));
        assert!(told(&world, "limit.a=3").await.ends_with("there are: none has one"));
        assert_eq!(told(&world, "rate.a=100000/s").await, "rate.a = 100000/s, was 1/h");
        // The last one, for with it the run may end at once.
        assert_eq!(told(&world, "rate=100000/s").await, "rate = 100000/s, was 4/h");
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (summary, ()) = tokio::join!(running, asking);
    assert!(matches!(summary.unwrap().ending, Ending::Complete));
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
        told(&world, "pause").await;
        told(&world, "drain").await;
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (summary, ()) = tokio::join!(running, ask);
    assert!(matches!(summary.unwrap().ending, Ending::Drained));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_session_was_asked_is_not_done_by_the_next() {
    let world = World::new();
    world.through(world.begin(), &records(0..3)).await;
    let db = world.db("f-1");
    for command in ["pause", "drain"] {
        db.execute("INSERT INTO command (text, asked) VALUES (?, '')", [command]).unwrap();
    }
    drop(db);
    world.plays(|_, _| "slow");
    let (summary, _) = world.through(world.resume(), &records(0..100)).await;
    assert!(matches!(summary.ending, Ending::Complete), "{:?}", summary.ending);
    assert!(!world.journals().info("f-1").unwrap().story.unwrap().is_paused);
    for command in 1..=2 {
        assert_eq!(world.journals().answer("f-1", command).unwrap().unwrap(), "error: the run had ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drains_is_not_paused() {
    let world = World::new();
    world.plays(|_, _| "hangs");
    let (run, _) = world.run(world.begin(), &records(0..100));
    let (brake, progress, cx) = (run.brake(), run.progress(), Context::new());
    let ask = async {
        while world.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Spaces change nothing.
        told(&world, "pause ").await;
        let state = || world.journals().info("f-1").unwrap().state().to_owned();
        assert!(progress.snapshot().paused && state() == "paused");
        brake.drain();
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if state() == "running" {
                break;
            }
        }
        let now = progress.snapshot();
        assert!(now.stopping && !now.paused && state() == "running", "{}", state());
        assert_eq!(told(&world, "pause").await, "error: the run is stopping already");
        assert!(!progress.snapshot().paused && state() == "running");
        brake.abort();
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (summary, ()) = tokio::join!(running, ask);
    assert!(matches!(summary.unwrap().ending, Ending::Aborted));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_at_the_end_is_answered_by_it() {
    let world = World::new();
    world.plays(|_, _| "hangs");
    let (run, _) = world.run(world.begin(), &records(0..10));
    let (brake, cx) = (run.brake(), Context::new());
    let ask = async {
        while world.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        told(&world, "continue").await;
        let asked = world.journals().ask("f-1", "continue").unwrap();
        brake.abort();
        asked
    };
    let running = tokio::time::timeout(Duration::from_secs(30), run.start(&cx));
    let (_, asked) = tokio::join!(running, ask);
    let written: String =
        world.db("f-1").query_row("SELECT answer FROM command WHERE id = ?", [asked], |row| row.get(0)).unwrap();
    assert!(["error: the run had ended", "going on"].contains(&written.as_str()), "{written}");
    // Nor is a process waited for that is no longer there.
    world.db("f-1").execute("UPDATE command SET answer = NULL", []).unwrap();
    assert_eq!(world.journals().answer("f-1", asked).unwrap().unwrap(), "error: the run had ended");
}
