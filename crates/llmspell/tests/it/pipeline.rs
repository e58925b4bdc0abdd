//! Pipelines: overlap, limits, order, and the stage of a failure.

use std::sync::Arc;

use llmspell::observe::Provenance;
use llmspell::{Context, Error, Limit, Outcome, Retry, Step, pipeline, step};
use tokio::time::Instant;

use crate::probe::{Probe, Watch, ms};

fn flow(limit: impl Fn() -> Limit) -> impl Step<In = usize, Out = usize> {
    pipeline("ingest")
        .stage("fetch", Probe::ok(100))
        .limit(limit())
        .stage("parse", Probe::ok(200))
        .limit(limit())
        .stage("store", Probe::ok(150))
        .limit(limit())
}

#[tokio::test(start_paused = true)]
async fn records_overlap_across_stages() {
    for (in_flight, limit, time) in [(1, 9, 1350), (9, 9, 450), (9, 1, 850)] {
        let started = Instant::now();
        let outs = flow(|| Limit::new(limit)).stream(0..3, &Context::new()).limit(in_flight).ordered();
        assert_eq!(outs.try_collect().await.unwrap(), [0, 1, 2]);
        assert_eq!(started.elapsed(), ms(time), "{in_flight} in flight, limit {limit} per stage");
    }
}

#[tokio::test(start_paused = true)]
async fn each_stage_has_its_own_limit() {
    let watches = [Watch::default(), Watch::default()];
    let flow = pipeline("two")
        .stage("wide", Probe::ok(10).watched(&watches[0]))
        .limit(8)
        .stage("narrow", Probe::ok(30).watched(&watches[1]))
        .limit(2);
    flow.stream(0..50, &Context::new()).limit(50).collect().await;
    assert_eq!((watches[0].most_at_once(), watches[1].most_at_once()), (8, 2));
}

#[tokio::test(start_paused = true)]
async fn default_keeps_all_stages_busy() {
    let flow = pipeline("wide").stage("a", Probe::ok(10)).limit(40).stage("b", Probe::ok(10)).limit(20);
    assert_eq!(flow.info().default_in_flight, 62);
    let started = Instant::now();
    flow.stream(0..400, &Context::new()).collect().await;
    // The second stage is the bottleneck: 400 records, 20 at a time, after the first 10 ms of the first stage.
    assert_eq!(started.elapsed(), ms(10 + 400 / 20 * 10));
}

#[tokio::test(start_paused = true)]
async fn ordered_stream_reaches_the_theoretical_best() {
    let started = Instant::now();
    let cx = Context::recording();
    flow(|| Limit::new(10)).stream(0..300, &cx).ordered().try_collect().await.unwrap();
    let report = cx.report();
    assert_eq!(report.pipelines[0].best, ms(100 + 300 / 10 * 200 + 150));
    assert!(report.pipelines[0].efficiency >= 0.98, "{}", report.pipelines[0].efficiency);
    assert!(started.elapsed() <= ms(6380));
}

#[tokio::test(start_paused = true)]
async fn failure_names_its_stage_and_stops_only_its_record() {
    let watch = Watch::default();
    let picky =
        llmspell::step(
            |n: usize, _| async move { if n == 1 { Err(llmspell::Error::failed("unreadable")) } else { Ok(n) } },
        );
    let flow = pipeline("ingest").stage("parse", picky).stage("store", Probe::ok(10).watched(&watch));
    for cx in [Context::new(), Context::recording()] {
        let flow = &flow;
        let error = flow.run(1, &cx).await.unwrap_err();
        assert_eq!(error.to_string(), "ingest.parse: unreadable");
        assert_eq!(flow.run(2, &cx).await.unwrap(), 2);
    }
    assert_eq!(watch.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn pipeline_composes_like_any_step() {
    let flow = Arc::new(flow(Limit::unlimited).deadline(ms(300)).fallback(llmspell::value(99usize)));
    assert_eq!(flow.run(1, &Context::new()).await.unwrap(), 99);
}

#[test]
fn every_combinator_keeps_default_in_flight() {
    let flow = || pipeline("wide").stage("a", Probe::ok(10)).limit(40);
    let cases = [
        flow().named("n").info().default_in_flight,
        flow().map(|x| x).info().default_in_flight,
        flow().then(Probe::ok(1)).info().default_in_flight,
        flow().timeout(ms(1)).info().default_in_flight,
        flow().idle_timeout(ms(1), ms(1)).info().default_in_flight,
        flow().retry(llmspell::Retry::never()).info().default_in_flight,
        flow().hedge(llmspell::Hedge::never()).info().default_in_flight,
        flow().fallback(Probe::ok(1)).info().default_in_flight,
        Probe::ok(1).fallback(flow()).info().default_in_flight,
        flow().policy(llmspell::Policy::new()).info().default_in_flight,
        Step::limit(flow(), 3).info().default_in_flight,
        flow().with_outcome().info().default_in_flight,
        flow().spawned().info().default_in_flight,
        flow().boxed().info().default_in_flight,
        llmspell::join((flow(), Probe::ok(1))).info().default_in_flight,
        llmspell::settle(vec![flow()]).info().default_in_flight,
        llmspell::race((Probe::ok(1), flow())).info().default_in_flight,
        Arc::new(flow()).info().default_in_flight,
    ];
    assert_eq!(cases, [41; 18]);
}

#[tokio::test(start_paused = true)]
async fn stage_times_are_recorded_on_request() {
    let flaky = step(|n: usize, cx: Context| async move {
        tokio::time::sleep(ms(20)).await;
        if cx.attempt() == 1 || n == 1 { Err(Error::failed("no").transient()) } else { Ok(n) }
    });
    let flaky = flaky.retry(Retry::delays([ms(5)]));
    let flow = || pipeline("f").stage("a", Probe::ok(10)).stage("b", flaky.clone()).limit(1).stage("c", Probe::ok(30));

    for cx in [Context::new(), Context::recording()] {
        let outcomes = flow().stream(0..2, &cx.with_stage_times()).ordered().collect().await;
        let times = |outcome: &Outcome<usize>| {
            let stages = outcome.provenance.stages().iter();
            stages.map(|stage| (stage.path.to_string(), stage.took)).collect::<Vec<_>>()
        };
        let expected = |rest: &[(&str, u64)]| {
            let all = [("f.a", 10)].iter().chain(rest);
            all.map(|(path, took)| ((*path).to_owned(), ms(*took))).collect::<Vec<_>>()
        };
        assert_eq!(times(&outcomes[0]), expected(&[("f.b", 45), ("f.c", 30)]));
        // The record waited for the other one, and then failed twice.
        assert_eq!(times(&outcomes[1]), expected(&[("f.b", 90)]));
        assert_eq!(outcomes[0].provenance.retries, 1);

        let untimed = flow().stream(0..2, &cx).ordered().collect().await;
        assert!(untimed[0].provenance.stages().is_empty());
        let text = serde_json::to_string(&outcomes[0].provenance).unwrap();
        assert_eq!(serde_json::from_str::<Provenance>(&text).unwrap(), outcomes[0].provenance);
    }
}
