//! Snapshots of real steps, on the paused clock.

use std::sync::Arc;
use std::time::Duration;

use llmspell::observe::{Usage, WaitKind};
use llmspell::{Context, Error, ErrorKind, Limit, Policy, Retry, Step, pipeline, step};
use tokio::time::sleep;

use super::{InStep, Progress, ProgressSink, Snapshot, StepNow, Waiting};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A stage that takes this long; the first attempt of every third record fails.
fn fetch() -> impl Step<In = usize, Out = usize> {
    step(|n: usize, cx: Context| async move {
        sleep(ms(100)).await;
        cx.record_usage(Usage::new(10, 1));
        let fails = n.is_multiple_of(3) && cx.attempt() == 1;
        if fails { Err(Error::new(ErrorKind::Overloaded, "429").transient()) } else { Ok(n) }
    })
}

/// Runs 9 records over two stages; returns a snapshot after each time.
async fn watched(after: &[u64]) -> Vec<Snapshot> {
    let progress = Arc::<Progress>::default();
    let cx = Context::new().with_sink(ProgressSink(progress.clone()));
    let policy = Policy::new().retry(Retry::delays([ms(500)])).limit(2);
    let store = step(|n: usize, _| async move {
        sleep(ms(1000)).await;
        if n == 8 { Err(Error::failed("no")) } else { Ok(n) }
    });
    let flow = pipeline("f").stage("fetch", fetch().policy(policy)).stage("store", store).limit(Limit::new(1));
    let running = flow.stream(0..9, &cx).limit(9).collect();
    let looking = async {
        let (mut seen, mut at) = (Vec::new(), 0);
        for after in after {
            sleep(ms(after - at)).await;
            at = *after;
            seen.push(progress.snapshot());
        }
        seen
    };
    let (_, seen) = tokio::join!(running, looking);
    seen
}

fn states(step: &StepNow) -> [u64; 5] {
    [step.running, step.queued, step.paced, step.backing_off, step.retrying]
}

#[tokio::test(start_paused = true)]
async fn running_hides_neither_retrying_nor_waiting() {
    let seen = watched(&[50, 150, 650, 60_000]).await;
    let [begin, early, later, end] = &seen[..] else { panic!("four looks") };

    assert_eq!(begin.steps.len(), 1, "the flow itself is not a step: {begin:?}");
    assert_eq!(states(&begin.steps[0]), [2, 7, 0, 0, 0]);
    // Record 0 has failed and waits until 600; record 1 is stored; 2 and 3 are fetched.
    assert_eq!(early.steps.iter().map(|step| step.path.as_str()).collect::<Vec<_>>(), ["f.fetch", "f.store"]);
    assert_eq!(states(&early.steps[0]), [2, 5, 0, 1, 0]);
    assert_eq!(early.steps[0].next_attempt, Some(ms(450)));
    assert_eq!(states(&early.steps[1]), [1, 0, 0, 0, 0]);
    assert_eq!(early.overloaded, 1);
    // Record 0 is at its second attempt.
    assert_eq!(later.steps[0].retrying, 1);
    assert!(later.steps[1].queued > 0);

    assert!(end.steps.iter().all(|step| states(step) == [0; 5]), "{end:?}");
    assert_eq!((end.steps[0].done, end.steps[0].retries, end.overloaded), (9, 3, 3));
    assert_eq!((end.steps[1].done, end.steps[1].failed, end.steps[1].limit), (8, 1, Some(1)));
    assert_eq!(end.usage, Usage::new(120, 12));
    let p50 = end.steps[1].p50.unwrap_or_default().as_secs_f64();
    assert!((0.9..9.0).contains(&p50), "{p50}");
    assert!(end.oldest.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_oldest_records_say_what_they_wait_for() {
    let seen = watched(&[150]).await;
    let oldest = &seen[0].oldest;
    assert_eq!(oldest.len(), 8, "nine are in flight");
    let position = |item: &InStep| (item.record, item.path.clone(), item.attempt, item.waiting);
    assert_eq!(position(&oldest[0]), (Some(0), "f.fetch".to_owned(), 2, Some(Waiting::Attempt { after: ms(450) })));
    assert_eq!(position(&oldest[1]), (Some(1), "f.store".to_owned(), 1, None));
    let queued = Waiting::InLine { queue: WaitKind::Limit, time: ms(150) };
    assert_eq!(position(&oldest[4]), (Some(4), "f.fetch".to_owned(), 1, Some(queued)));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_leaves_nothing_behind() {
    let progress = Arc::<Progress>::default();
    let cx = Context::new().with_sink(ProgressSink(progress.clone()));
    let flow = pipeline("f").stage("fetch", fetch().policy(Policy::new().limit(2)));
    let mut stream = flow.stream(0..9, &cx).limit(9);
    assert!(tokio::time::timeout(ms(50), stream.next()).await.is_err());
    assert_eq!(states(&progress.snapshot().steps[0]), [2, 7, 0, 0, 0]);
    stream.stop().await;
    let now = progress.snapshot();
    assert_eq!(states(&now.steps[0]), [0; 5]);
    assert_eq!(now.steps[0].cancelled, 9);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_json_with_the_documented_names() {
    let seen = watched(&[150]).await;
    let json = serde_json::to_value(&seen[0]).unwrap();
    for name in [
        "elapsed_ms",
        "bytes_done",
        "ok",
        "degraded",
        "failed",
        "replayed",
        "in_flight",
        "stopping",
        "rate",
        "eta_ms",
        "output_wait_ms",
        "refused",
        "overloaded",
        "hedges",
        "runaways",
        "usage",
        "steps",
        "oldest",
    ] {
        assert!(json.get(name).is_some(), "{name}: {json}");
    }
    assert_eq!(json["steps"][0]["next_attempt_ms"], 450.0);
    assert_eq!(json["oldest"][0]["waiting"]["attempt"]["in_ms"], 450.0);
    assert_eq!(json["oldest"][4]["waiting"]["in_line"]["queue"], "limit");
}
