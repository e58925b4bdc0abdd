//! `timeout`, `deadline`, `retry`.

use llmspell::ErrorKind;
use serde_json::json;

use crate::kinds::probe::Probe;

fn work(with: &str, rest: &str) -> String {
    format!("steps:\n  - id: a\n    tool: work\n    with: {{ {with} }}\n{rest}")
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_its_time() {
    for timeout in ["1s", "{ attempt: 1s }", "[1s]", "{ attempt: [1s] }"] {
        let ran = Probe::default().run(&work("ms: 5000", &format!("    timeout: {timeout}\n")), json!({})).await;
        assert_eq!((ran.ms, ran.error().kind()), (1000, ErrorKind::Timeout), "{timeout}");
    }
    let probe = Probe::default();
    let text = work("ms: 5000", "    timeout: { attempt: [1s, 2s] }\n    retry: { max: 2, base: 1ms }\n");
    let ran = probe.run(&text, json!({})).await;
    assert_eq!((ran.ms / 10, probe.begun(), ran.error().attempts()), (300, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn the_first_output_has_a_time_of_its_own() {
    let text = |shows: u32| {
        work(&format!("ms: 5000, shows: {shows}, value: 1"), "    timeout: { attempt: 10s, first: 500ms }\n")
    };
    let ran = Probe::default().run(&text(400), json!({})).await;
    assert_eq!((ran.ms, ran.output()), (5000, json!(1)));
    let ran = Probe::default().run(&text(600), json!({})).await;
    assert_eq!((ran.ms, ran.error().to_string()), (500, "f.a: no output within 500 ms".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn silence_after_the_first_output_has_another() {
    let text = work("ms: 5000, shows: 100", "    timeout: { idle: 2s }\n");
    let ran = Probe::default().run(&text, json!({})).await;
    assert_eq!((ran.ms, ran.error().to_string()), (2100, "f.a: no sign of life for 2 s".to_owned()));
    // Silence is that of an attempt: the next one has its own.
    let probe = Probe::default();
    let text = work("ms: 5000, shows: 100", "    timeout: { idle: 2s }\n    retry: { max: 2, base: 1ms }\n");
    let ran = probe.run(&text, json!({})).await;
    assert_eq!((ran.ms / 10, probe.begun()), (420, 2));
}

#[tokio::test(start_paused = true)]
async fn what_came_late_is_cancelled_and_the_deadline_covers_the_waits() {
    let probe = Probe::default();
    let text = work("ms: 100, fails: no", "    retry: { max: 100, base: 300ms }\n    deadline: 1s\n");
    let ran = probe.run(&text, json!({})).await;
    assert!(ran.ms <= 1000 && probe.begun() > 1 && probe.alive() == 0, "{} {}", ran.ms, probe.begun());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_around_many_steps_stops_them_all() {
    let text = "steps:
  - id: e
    each: range(10)
    do: { tool: work, with: { ms: 400 } }
    limit: 2
    deadline: 1s
";
    let probe = Probe::default();
    let ran = probe.run(text, json!({})).await;
    assert_eq!((ran.ms, ran.error().kind(), probe.begun()), (1000, ErrorKind::Timeout, 6));
    tokio::task::yield_now().await;
    assert_eq!(probe.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_composite_is_retried_as_a_whole() {
    let text = "steps:
  - id: c
    concurrent:
      - { id: a, tool: work, with: { ms: 10 } }
      - { id: b, tool: work, with: { ms: 20, bad: 4 } }
    retry: { max: 3, base: 1ms }
";
    let probe = Probe::default();
    let ran = probe.run(text, json!({})).await;
    assert_eq!((probe.begun(), ran.outcome.provenance.retries), (6, 2));
    assert!(ran.outcome.result.is_ok());
}
