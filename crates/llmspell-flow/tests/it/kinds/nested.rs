//! Kinds inside of kinds.

use llmspell::observe::Quality;
use serde_json::json;

use crate::kinds::probe::Probe;

const ALL: &str = "steps:
  - id: pages
    each: inputs.urls
    limit: 2
    on_error: skip
    do:
      - id: fetch
        race:
          - { id: near, tool: work, with: { ms: 100, value: \"near ${{ item }}\", fails: \"${{ 'down' if item == 2 else '' }}\" } }
          - { id: far, tool: work, with: { ms: 300, value: \"far ${{ item }}\", fails: \"${{ 'down' if item > 2 else '' }}\" } }
      - id: read
        concurrent:
          - { id: words, pipeline: [{ id: one, value: \"${{ steps.fetch }}!\" }, { id: two, value: \"${{ steps.one }}!\" }] }
          - id: polish
            repeat: [{ id: try, tool: work, with: { ms: 10, value: \"${{ index + item }}\" } }]
            until: steps.try >= 3
            max: 2
            fallback: { value: 0 }
        deadline: 1s
  - { id: count, value: \"${{ steps.pages | length }}\" }
output: { pages: \"${{ steps.pages }}\", count: \"${{ steps.count }}\" }
";

#[tokio::test(start_paused = true)]
async fn all_kinds_at_once() {
    let probe = Probe::default();
    let ran = probe.run(ALL, json!({ "urls": [1, 2, 3] })).await;
    assert_eq!(ran.outcome.quality, Quality::Partial);
    assert_eq!(ran.causes(), ["f.pages.read.polish: `until` did not hold after 2 rounds", "f.pages.fetch.near: down"]);
    let paths: Vec<String> = ran.cx.report().steps.iter().map(|step| step.path.to_string()).collect();
    for path in ["f.pages.fetch.near", "f.pages.read.words.two", "f.pages.read.polish.try", "f.count"] {
        assert!(paths.iter().any(|known| known == path), "{path} in {paths:?}");
    }
    assert_eq!(
        ran.output(),
        json!({ "pages": [
            { "words": "near 1!!", "polish": 2 },
            { "words": "far 2!!", "polish": 3 },
            { "words": "near 3!!", "polish": 3 },
        ], "count": 3 })
    );
    assert_eq!(probe.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn nested_lists_see_their_own_items_and_those_around_by_name() {
    let text = "steps:
  - id: rows
    each: inputs.rows
    do:
      - { id: row, value: \"${{ item }}\" }
      - { id: cells, each: item, do: { value: \"${{ [index, item, steps.row | length] }}\" } }
";
    let ran = Probe::default().run(text, json!({ "rows": [[7, 8], [9]] })).await;
    assert_eq!(ran.output(), json!([[[0, 7, 2], [1, 8, 2]], [[0, 9, 1]]]));
}

#[tokio::test(start_paused = true)]
async fn a_repetition_around_a_list_keeps_what_each_sees() {
    let text = "steps:
  - id: r
    repeat:
      - { id: round, value: \"${{ index }}\" }
      - { id: e, each: range(2), do: { value: \"${{ [steps.round, index, last] }}\" } }
    until: index == 1
    max: 5
";
    let ran = Probe::default().run(text, json!({})).await;
    assert_eq!(ran.output(), json!([[1, 0, [[0, 0, null], [0, 1, null]]], [1, 1, [[0, 0, null], [0, 1, null]]]]));
}

#[tokio::test(start_paused = true)]
async fn a_race_of_ladders_and_a_ladder_of_races() {
    let text = "steps:
  - id: r
    race:
      - { id: a, tool: work, with: { ms: 100, fails: no }, fallback: { tool: work, with: { ms: 150, value: slow } } }
      - { id: b, tool: work, with: { ms: 50, fails: no }, retry: { max: 2, base: 1ms } }
    deadline: 200ms
    fallback:
      race:
        - { id: c, tool: work, with: { ms: 20, value: c } }
        - { id: d, tool: work, with: { ms: 10, value: d } }
";
    let probe = Probe::default();
    let ran = probe.run(text, json!({})).await;
    assert_eq!((ran.ms, ran.outcome.quality, probe.alive()), (210, Quality::Fallback, 0));
    assert_eq!(ran.output(), "d");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_flow_drops_all_of_it() {
    let probe = Probe::default();
    let flow = probe.flow(ALL);
    let cx = llmspell::Context::new();
    let record = json!({ "urls": [1, 2, 3] });
    let run = llmspell::Step::run(&flow, record, &cx);
    let cut = tokio::time::timeout(std::time::Duration::from_millis(50), run).await;
    assert!(cut.is_err() && probe.begun() > 0);
    drop(cut);
    tokio::task::yield_now().await;
    assert_eq!(probe.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_deepest_nesting_there_may_be_runs_in_the_stack_of_a_thread() {
    let modifiers = "retry: 2, deadline: 5s, hedge: 1s, limit: 3, rate: 5/s, breaker: true, \
                     timeout: { attempt: 5s, first: 3s }, fallback: { value: 0 }";
    for kind in ["pipeline: [", "repeat: [", "race: [{ id: 'x~', value: \"${{ inputs.no }}\" }, ", "concurrent: ["] {
        let open: String = (1..8).map(|n| format!("{{ id: a{n}, {} ", kind.replace('~', &n.to_string()))).collect();
        let rest = if kind.starts_with("repeat") { "until: inputs.yes, max: 2, " } else { "" };
        let text = format!("steps: [{open}{{ id: z, value: 1 }}{}]\n", format!("], {rest}{modifiers} }}").repeat(7));
        let ran = Probe::default().run(&text, json!({ "yes": 1 })).await;
        assert!(ran.outcome.result.is_ok(), "{:?}", ran.outcome);
    }
}
