//! The report of a recording.

use llmspell::{Context, Hedge, Limit, Retry, Step, join, pipeline, race, value};
use llmspell_test::FakeTool;

use crate::probe::{Probe, ms};

#[tokio::test(start_paused = true)]
async fn speedup_is_work_divided_by_time() {
    let cx = Context::recording();
    let tool = |name: &'static str, delay| Probe::ok(delay).named(name);
    join((tool("a", 100), tool("b", 300), tool("c", 500))).named("all").run(0, &cx).await.unwrap();
    let report = cx.report();
    assert_eq!((report.wall, report.sequential), (ms(500), ms(900)));
    assert!((report.speedup - 1.8).abs() < 1e-9);
    // The group itself takes no time: its own work is the time that no member covers.
    let all = &report.steps[0];
    assert_eq!((all.path.as_str(), all.calls, all.busy, all.p50), ("all", 1, ms(0), ms(500)));
    assert_eq!(report.steps[2].path.as_str(), "all.b");
}

#[tokio::test(start_paused = true)]
async fn critical_path_goes_through_the_slowest_step() {
    let cx = Context::recording();
    let tool = |name: &'static str, delay| Probe::ok(delay).named(name);
    let first = join((tool("a", 100), tool("b", 300))).map(|(a, _)| a);
    first.then(tool("c", 50)).run(0, &cx).await.unwrap();
    let report = cx.report();
    let path: Vec<_> = report.critical_path.iter().map(|step| (step.path.as_str(), step.time)).collect();
    assert_eq!(path, [("b", ms(300)), ("c", ms(50))]);
    assert_eq!(report.bottleneck.unwrap().as_str(), "b");
}

#[tokio::test(start_paused = true)]
async fn critical_path_follows_permits() {
    let cx = Context::recording();
    let flow = pipeline("p")
        .stage("a", Probe::ok(100))
        .limit(1)
        .stage("b", Probe::ok(200))
        .limit(1)
        .stage("c", Probe::ok(150))
        .limit(1);
    flow.stream(0..3, &cx).collect().await;
    let report = cx.report();
    let path: Vec<_> = report.critical_path.iter().map(|s| (s.path.as_str(), s.calls, s.time)).collect();
    assert_eq!(path, [("p.a", 1, ms(100)), ("p.b", 3, ms(600)), ("p.c", 1, ms(150))]);
    assert_eq!(report.bottleneck.unwrap().as_str(), "p.b");
    let pipeline = &report.pipelines[0];
    assert_eq!((pipeline.records, pipeline.took, pipeline.best), (3, ms(850), ms(850)));
    assert_eq!((pipeline.sequential, pipeline.efficiency), (ms(1350), 1.0));
    assert_eq!(pipeline.stages[1].waited, ms(100 + 200));
    assert_eq!(pipeline.stages[1].utilisation.map(|share| (share * 100.0).round()), Some(71.0));
}

#[tokio::test(start_paused = true)]
async fn losers_of_a_race_count_as_waste() {
    let cx = Context::recording();
    let tool = |name: &'static str, delay| Probe::ok(delay).named(name);
    race((tool("a", 300), tool("b", 250), tool("c", 400))).run(0, &cx).await.unwrap();
    let report = cx.report();
    assert_eq!((report.wall, report.sequential), (ms(250), ms(250)));
    let of = |name: &str| report.steps.iter().find(|step| step.path.as_str() == name).unwrap();
    assert_eq!((of("b").ok, of("b").wasted), (1, ms(0)));
    assert_eq!((of("a").cancelled, of("a").wasted, of("a").busy), (1, ms(250), ms(0)));
    assert_eq!(report.critical_path.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn attempts_degraded_results_and_waits_are_counted() {
    let cx = Context::recording();
    let flaky = FakeTool::<usize>::new("flaky").delay(ms(10)).fails_first(2);
    let step = flaky.retry(Retry::delays([ms(100), ms(100)])).named("retried").limit(1).named("limited");
    step.stream([1, 2], &cx).collect().await;
    let report = cx.report();
    let of = |name: &str| report.steps.iter().find(|step| step.path.as_str() == name).unwrap();
    assert_eq!((of("limited.retried").calls, of("limited.retried").attempts), (2, 4));
    // 2 × 100 ms between attempts, and 230 ms in which the second call waited for the first.
    assert_eq!(of("limited.retried").waited, ms(200 + 230));
    assert_eq!((of("limited.retried.flaky").calls, of("limited.retried.flaky").failed), (4, 2));
    // Four attempts of 10 ms and two waits between them. In sequence, no call would wait for a permit.
    assert_eq!(report.sequential, ms(40 + 200));

    let cx = Context::recording();
    let degrading = Probe::fails(10, "no").fallback(value(1usize)).named("inner").named("outer");
    degrading.run(0, &cx).await.unwrap();
    let report = cx.report();
    assert!(report.steps.iter().all(|step| step.degraded == 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_degraded_loser_degrades_nothing() {
    let cx = Context::recording();
    let loser = Probe::fails(10, "no").fallback(Probe::ok(500)).named("loser");
    race((loser, Probe::ok(100).named("winner"))).named("contest").run(0, &cx).await.unwrap();
    assert!(cx.report().steps.iter().all(|step| step.degraded == 0));
}

#[tokio::test(start_paused = true)]
async fn a_plain_context_records_nothing() {
    let cx = Context::new();
    Probe::ok(1).named("a").run(0, &cx).await.unwrap();
    assert!(cx.report().steps.is_empty() && cx.events().is_empty());
    assert!(cx.report().to_string().contains("Context::recording()"));
}

#[tokio::test(start_paused = true)]
async fn table_is_aligned() {
    let cx = Context::recording();
    let flow = pipeline("ingest").stage("fetch", Probe::ok(100)).limit(Limit::new(2)).stage("store", Probe::ok(50));
    flow.hedge(Hedge::never()).stream(0..4, &cx).collect().await;
    let expected = "\
wall 250 ms · sequential 600 ms · speedup 2.40×

step          calls  ok     p50     p95     p99    busy  waited
ingest            4   4  150 ms  250 ms  250 ms
ingest.fetch      4   4  100 ms  200 ms  200 ms  400 ms  200 ms
ingest.store      4   4   50 ms   50 ms   50 ms  200 ms

pipeline ingest: 4 records in 250 ms, best possible 250 ms, efficiency 100.0 %, sequential 600 ms
stage  limit  records    work  waited  utilised
fetch      2        4  400 ms  200 ms      80 %
store   none        4  200 ms

critical path: ingest.fetch ×2 200 ms (80 %) → ingest.store 50 ms (20 %)
bottleneck: ingest.fetch";
    assert_eq!(cx.report().to_string(), expected, "\n{}", cx.report());
}

#[tokio::test(start_paused = true)]
async fn report_serialises_times_in_milliseconds() {
    let cx = Context::recording();
    Probe::ok(100).named("a").run(0, &cx).await.unwrap();
    let json = serde_json::to_value(cx.report()).unwrap();
    assert_eq!(json["wall_ms"], 100.0);
    assert_eq!(json["steps"][0]["path"], "a");
    assert_eq!(json["steps"][0]["p99_ms"], 100.0);
    assert_eq!(json["critical_path"][0]["time_ms"], 100.0);
}

#[tokio::test(start_paused = true)]
async fn calls_in_progress_are_counted() {
    let cx = Context::recording();
    let mut stream = Probe::ok(100).named("a").stream(0..3, &cx).limit(3);
    let _ = tokio::time::timeout(ms(10), stream.next()).await;
    assert_eq!(cx.report().in_progress, 3);
    drop(stream);
    crate::probe::settled_tasks().await;
    let report = cx.report();
    assert_eq!((report.in_progress, report.steps[0].cancelled), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn waits_count_for_a_step_whose_limit_is_outside_of_its_name() {
    let cx = Context::recording();
    Probe::ok(10).named("a").limit(1).stream(0..5, &cx).collect().await;
    let report = cx.report();
    assert_eq!((report.steps[0].calls, report.steps[0].waited), (5, ms(10 + 20 + 30 + 40)));
    assert_eq!((report.steps[0].busy, report.wall), (ms(50), ms(50)));
}

#[tokio::test(start_paused = true)]
async fn a_degraded_loser_without_a_name_degrades_nothing() {
    let cx = Context::recording();
    let loser = Probe::fails(10, "no").fallback(Probe::ok(500));
    race((loser, Probe::ok(100))).named("contest").run(0, &cx).await.unwrap();
    assert_eq!(cx.report().steps[0].degraded, 0);
}

#[tokio::test(start_paused = true)]
async fn interrupted_waits_count_with_their_real_length() {
    // In the wait queue for 190 ms, and then out of time.
    let (cx, limit) = (Context::recording(), Limit::new(1));
    let (holder, waiter) = (Probe::ok(1000).limit(limit.clone()), Probe::ok(10).limit(limit).named("waiter"));
    let waiter = waiter.timeout(ms(190));
    let quiet = Context::new();
    let (_, result) = tokio::join!(holder.run(0, &quiet), waiter.run(0, &cx));
    assert!(result.is_err());
    let report = cx.report();
    assert_eq!((report.steps[0].waited, report.steps[0].wasted), (ms(190), ms(0)));

    // A planned wait of 30 s that ended after 10 ms.
    let cx = Context::recording();
    let retried_step = Probe::fails(10, "no").retry(Retry::delays([ms(30_000)]).when(|_| true)).named("retried_step");
    assert!(tokio::time::timeout(ms(20), retried_step.run(0, &cx)).await.is_err());
    assert_eq!(cx.report().steps[0].waited, ms(10));
}
