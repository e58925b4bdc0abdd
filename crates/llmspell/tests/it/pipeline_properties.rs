//! Properties of every pipeline, for any delays and limits.

use llmspell::{Context, Step, pipeline, step};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use crate::probe::ms;

fn paused(work: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// No schedule beats the bound in the report, and ours comes close to it.
    #[test]
    fn pipeline_never_beats_its_theoretical_best(
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
