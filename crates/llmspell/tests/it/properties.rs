//! What holds for every stream, whatever its delays, limits and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::{Context, Kind, Step, pipeline, step};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use crate::probe::{Watch, ms};

#[derive(Clone, Debug)]
struct Case {
    /// Delay of each item in milliseconds; every seventh item panics, every fifth fails.
    delays: Vec<u64>,
    limit: usize,
    window: Option<usize>,
    take: Option<usize>,
    consumer_delay: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let delays = prop::collection::vec(0..40u64, 0..60);
    (delays, 1..12usize, prop::option::of(0..10usize), prop::option::of(0..70usize), 0..20u64)
        .prop_map(|(delays, limit, window, take, consumer_delay)| Case { delays, limit, window, take, consumer_delay })
}

fn paused(work: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_input_gets_exactly_one_outcome(case in cases()) {
        paused(async move {
            let watch = Watch::default();
            let (seen, pulled) = (watch.clone(), Arc::new(AtomicUsize::new(0)));
            let work = step(move |(index, delay): (usize, u64), _| {
                let alive = seen.enter();
                async move {
                    sleep(ms(delay)).await;
                    assert!(index % 7 != 6, "seventh");
                    alive.complete();
                    if index % 5 == 4 { Err(llmspell::Error::failed("fifth")) } else { Ok(index) }
                }
            });
            let counter = pulled.clone();
            let source = case.delays.clone().into_iter().enumerate().inspect(move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
            });
            let mut stream = work.stream(source, &Context::new()).limit(case.limit);
            if let Some(window) = case.window {
                stream = stream.window(window);
            }
            if let Some(take) = case.take {
                stream = stream.take(take);
            }
            let mut indices = Vec::new();
            while let Some(outcome) = stream.next().await {
                let ahead = pulled.load(Ordering::SeqCst) - indices.len();
                assert!(ahead <= case.limit + case.window.unwrap_or(0), "pulled {ahead} ahead");
                match &outcome.result {
                    Ok(index) => assert_eq!(*index, outcome.index),
                    Err(error) if outcome.index % 7 == 6 => assert_eq!(error.kind(), Kind::Panicked),
                    Err(error) => assert_eq!((error.message(), outcome.index % 5), ("fifth", 4)),
                }
                indices.push(outcome.index);
                sleep(ms(case.consumer_delay)).await;
            }
            assert_eq!(watch.alive(), 0, "nothing is alive after the end");
            assert!(watch.most_at_once() <= case.limit);
            assert_eq!(indices.len(), case.delays.len().min(case.take.unwrap_or(usize::MAX)));
            if case.window.is_some() {
                assert!(indices.is_sorted(), "{indices:?}");
            }
            indices.sort_unstable();
            indices.dedup();
            assert_eq!(indices.len(), case.delays.len().min(case.take.unwrap_or(usize::MAX)), "none came twice");
            drop(stream);
            assert_eq!(crate::probe::settled_tasks().await, 0);
        });
    }

    /// No schedule beats the bound of the report, and ours comes close to it.
    #[test]
    fn a_pipeline_never_beats_its_theoretical_best(
        delays in prop::collection::vec((1..30u64, 1..30u64, 1..30u64), 1..30),
        limits in (1..4usize, 1..4usize, 1..4usize),
    ) {
        paused(async move {
            let stage = |pick: fn(&(u64, u64, u64)) -> u64| {
                step(move |record: (u64, u64, u64), _| async move {
                    sleep(ms(pick(&record))).await;
                    Ok(record)
                })
            };
            let flow = pipeline("p")
                .stage("a", stage(|record| record.0)).limit(limits.0)
                .stage("b", stage(|record| record.1)).limit(limits.1)
                .stage("c", stage(|record| record.2)).limit(limits.2);
            let (cx, started, records) = (Context::recording(), Instant::now(), delays.len());
            flow.stream(delays, &cx).limit(1000).try_collect().await.unwrap();
            let report = cx.report();
            let pipeline = &report.pipelines[0];
            assert_eq!((pipeline.records, pipeline.took), (records as u64, started.elapsed()));
            assert!(pipeline.best <= pipeline.took, "{report}");
            assert!(pipeline.took <= pipeline.best * 3, "{report}");
            let critical: std::time::Duration = report.critical_path.iter().map(|step| step.time).sum();
            assert_eq!(critical, report.wall, "the critical path accounts for all of the time\n{report}");
        });
    }
}
