//! `llmspell plan`, and `check` of several files.

use serde_json::{Value, json};

use crate::program::{Folder, assert_output};

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
async fn a_plan_shows_steps_calls_and_time_and_calls_nothing() {
    let folder = Folder::new().with("f.yaml", FLOW).with("in.jsonl", "{\"urls\":[1,2,3]}\n{\"urls\":[]}\nno\n");
    let plan = folder.run(&["plan", "f.yaml"]).await;
    assert_eq!(plan.code, Some(0), "{}", plan.err);
    assert_output("plan", &plan.out);
    let counted = folder.run(&["plan", "f.yaml", "--input", "in.jsonl", "--limit", "2"]).await;
    // 2 rounds of 9 s and a second; and a second for the other record.
    assert!(counted.out.contains("\n  time: 20s if every call takes its whole time, "), "{}", counted.out);
    assert_output("plan_for_records", &counted.out);
}

#[tokio::test]
async fn a_plan_can_be_json() {
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

const ASKS: &str = "flow: f
allow: { net: ['*'] }
run: { budget: 1usd }
models:
  small: { model: openai/x, max_output_tokens: 1000, prices: { input: 1.0, output: 4.0 } }
  large: { model: openai/y }
steps:
  - { id: fetch, tool: http_get, with: { url: 'https://example.com' }, timeout: 1s }
  - id: ask
    agent: { model: small, prompt: 'Sum up ${{ inputs.text }}!' }
    retry: 2
    fallback: { agent: { model: large, prompt: 'Sum up ${{ steps.fetch.body }}', tools: [http_get], max_turns: 3 } }
";

#[tokio::test]
async fn tokens_and_cost_are_estimated_from_the_records() {
    let records = format!("{}{{\"text\":4}}\n", "{\"text\":\"four\"}\n".repeat(2999));
    let folder = Folder::new().with("f.yaml", ASKS).with("in.jsonl", records);
    let plan = folder.run(&["plan", "f.yaml"]).await;
    assert_eq!(plan.code, Some(0), "{}", plan.err);
    // `Sum up !`, as far as it is known.
    assert!(plan.out.contains("\n    each agent once      1     2+           1,000     0.004002+\n"), "{}", plan.out);
    assert_output("plan_with_models", &plan.out);
    let counted = folder.run(&["plan", "f.yaml", "--input", "in.jsonl"]).await;
    // `Sum up four!` is 3 tokens, and so is `Sum up 4!`.
    let small = "\n  small\n    each agent once  3,000       9,000       3,000,000         12.01\n";
    assert!(counted.out.contains(small), "{}", counted.out);
    assert_output("plan_with_models_for_records", &counted.out);
    // Neither a model without calls nor a budget that suffices is mentioned.
    let enough = ASKS.replace("1usd", "$30").replace("    fallback", "    # fallback");
    let folder = folder.with("enough.yaml", enough);
    let enough = folder.run(&["plan", "enough.yaml", "--input", "in.jsonl"]).await;
    assert!(enough.out.contains("24.02\n\nNeeds and journal") && !enough.out.contains("large:"), "{}", enough.out);
    assert!(enough.out.lines().all(|line| line.chars().count() <= 80), "{}", enough.out);
}

#[tokio::test]
async fn estimates_can_be_json() {
    let folder = Folder::new().with("f.yaml", ASKS).with("in.jsonl", "{\"text\":\"four\"}\n{\"text\":4}\n");
    let plan = folder.run(&["plan", "f.yaml", "--json", "--input", "in.jsonl"]).await;
    let plan: Value = serde_json::from_str(&plan.out).expect("JSON");
    assert_eq!(plan["bytes_per_token"], 4);
    assert_eq!(plan["outline"]["estimates"][1]["unknown"], json!(["inputs.text"]));
    assert_eq!(plan["input"]["calls_by_agents"], json!([{ "tool": "http_get", "agent": "ask.fallback", "turns": 6 }]));
    let (large, small) = (&plan["input"]["estimates"][0], &plan["input"]["estimates"][1]);
    let once = json!({
        "calls": 2, "input_tokens": 6, "input_is_complete": true, "output_tokens": 2000, "input_cost": 6e-6, "cost": 0.008006,
    });
    assert_eq!(small["once"], once);
    assert_eq!((&small["worst"]["calls"], &small["worst"]["output_tokens"]), (&json!(4), &json!(4000)));
    assert_eq!(small["prices"], json!({ "input": 1.0, "output": 4.0 }));
    assert_eq!(
        (&large["prices"], &large["worst"]["output_tokens"], &large["worst"]["cost"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(large["unknown_tool_answers"], json!(["ask.fallback"]));
    assert_eq!(plan["budget"], json!({ "amount": "1usd", "is_enough": false }));
}

#[tokio::test]
async fn check_can_be_strict_and_print_json() {
    let folder = Folder::new()
        .with("warned.yaml", "flow: f\nsteps: [{ id: a, tool: slow, when: false }]\n")
        .with("right.yaml", "flow: f\nsteps: [{ id: a, tool: slow }]\n")
        .with("wrong.yaml", "flow: f\nsteps: [{ id: a, tool: slwo }]\n");
    let ended = folder.run(&["check", "warned.yaml", "right.yaml"]).await;
    assert_eq!((ended.code, ended.out.lines().count()), (Some(0), 2));
    assert!(ended.err.contains("warning[constant-when]: the step `a` never runs"), "{}", ended.err);
    let ended = folder.run(&["check", "--strict", "warned.yaml", "right.yaml"]).await;
    assert_eq!((ended.code, ended.out.lines().count()), (Some(2), 1));
    let ended = folder.run(&["check", "--json", "warned.yaml", "right.yaml", "wrong.yaml", "none.yaml"]).await;
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.iter().map(|line| line["ok"] == true).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(lines[0]["warnings"][0]["line"], 2);
    assert_eq!(lines[2]["errors"][0]["hint"], "did you mean `slow`?");
    assert!(lines[3]["errors"][0]["message"].as_str().is_some_and(|text| text.contains("none.yaml")));
}
