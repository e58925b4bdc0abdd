//! `llmspell plan`, and what `check` says of several files.

use serde_json::Value;

use crate::program::Folder;

const FLOW: &str = "flow: f
allow: { net: ['*'] }
description: Fetches pages.
steps:
  - id: pages
    each: inputs.urls
    limit: 2
    do: { tool: http_get, with: { url: \"${{ item }}\" }, timeout: 2s, retry: { max: 3, base: 1s }, fallback: { value: 1 } }
  - { id: last, tool: slow, timeout: 1s }
";

#[tokio::test]
async fn a_plan_tells_steps_calls_and_time_and_calls_nothing() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{\"urls\":[1,2,3]}\n{\"urls\":[]}\nno\n");
    let plan = folder.run(&["plan", "f.yaml"]).await;
    assert_eq!(plan.code, Some(0), "{}", plan.err);
    for wanted in [
        "f · Fetches pages.\n",
        "\n  pages  each inputs.urls · limit 2 at once\n",
        "\n    do  tool http_get · 3 attempts · timeout 2s\n",
        "\n      or fallback  value\n",
        "\n  calls of http_get: at most 3 × items of `inputs.urls`\n",
        "time: unbounded: `pages` takes 9s × items of `inputs.urls`",
        "\n  permissions: --allow net=HOST\n",
        "\n  journaled: pages.do, last",
        "give the records with --input",
    ] {
        assert!(plan.out.contains(wanted), "{wanted}\nin\n{}", plan.out);
    }
    let counted = folder.run(&["plan", "f.yaml", "--input", "in.jsonl", "--limit", "2"]).await;
    for wanted in [
        "2 records in flight",
        "\n  3 records\n",
        "1 of them would be refused; the first: line 3 is not JSON",
        "\n  calls of http_get: at most 9\n",
        // 2 rounds of 9 s and a second; and a second for the other record.
        "\n  time: at most 20s, without waiting in line\n",
    ] {
        assert!(counted.out.contains(wanted), "{wanted}\nin\n{}", counted.out);
    }
}

#[tokio::test]
async fn a_plan_is_json_too() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.csv", "urls\nx\ny\n");
    let plan = folder.run(&["plan", "f.yaml", "--json", "--input", "in.csv", "--sample", "1"]).await;
    let plan: Value = serde_json::from_str(&plan.out).expect("JSON");
    assert_eq!(plan["input"]["records"], 1);
    assert_eq!(plan["outline"]["steps"][0]["steps"][0]["what"], "http_get");
    let wrong = folder.run(&["plan", "none.yaml"]).await;
    assert_eq!(wrong.code, Some(2));
    let wrong = folder.run(&["plan", "f.yaml", "--input", "none.jsonl"]).await;
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(2), ""));
    assert!(wrong.err.contains("hint: "), "{}", wrong.err);
}

#[tokio::test]
async fn check_is_strict_if_told_and_speaks_json() {
    let folder = Folder::new()
        .with("warned.yaml", "flow: f\nsteps: [{ id: a, tool: slow, when: false }]\n")
        .with("right.yaml", "flow: f\nsteps: [{ id: a, tool: slow }]\n")
        .with("wrong.yaml", "flow: f\nsteps: [{ id: a, tool: slwo }]\n");
    let ended = folder.run(&["check", "warned.yaml", "right.yaml"]).await;
    assert_eq!((ended.code, ended.out.lines().count()), (Some(0), 2));
    assert!(ended.err.contains("warning: the step `a` never runs"), "{}", ended.err);
    let ended = folder.run(&["check", "--strict", "warned.yaml", "right.yaml"]).await;
    assert_eq!((ended.code, ended.out.lines().count()), (Some(2), 1));
    let ended = folder.run(&["check", "--json", "warned.yaml", "right.yaml", "wrong.yaml", "none.yaml"]).await;
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.iter().map(|line| line["ok"] == true).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(lines[0]["warnings"][0]["line"], 2);
    assert_eq!(lines[2]["errors"][0]["hint"], "did you mean `slow`?");
    assert!(lines[3]["errors"][0]["message"].as_str().is_some_and(|text| text.contains("none.yaml")));
}
