//! What a run does while it runs.

use std::time::Duration;

use llmspell::Context;
use llmspell_flow::Ending;

use crate::world::{World, records};

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
    let (run, _) = world.run_of(flow(), world.journals().begin(&flow()).unwrap(), &records(0..100_000));
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
    assert_eq!((story.reached, story.to_do), (summary.ok, Some(100_000 - summary.ok)));
    assert_eq!(story.fact("flow"), Some("f"));
    let error = world.journals().ask("f-1", "pause").unwrap_err();
    assert_eq!(error.message(), "the run f-1 is not running (interrupted)");
    assert_eq!(error.hint(), Some("go on with it: llmspell resume f-1"));
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
