//! Tools: schema, typed arguments, JSON to JSON.

use llmspell::schemars::JsonSchema;
use llmspell::tool::Privilege;
use llmspell::{Context, ErrorKind, Step, Tool, all, step};
use llmspell_test::FakeTool;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use crate::probe::ms;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Search {
    /// The text to search for.
    query: String,
    #[serde(default)]
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Found {
    titles: Vec<String>,
}

fn search() -> Tool<impl Step<In = Search, Out = Found>> {
    Tool::new("search", "Searches the notes.", |args: Search, _| async move {
        let count = args.limit.unwrap_or(1) as usize;
        Ok(Found { titles: vec![args.query; count] })
    })
    .security(Privilege::Restricted)
}

#[test]
fn schema_is_derived_from_the_type() {
    let tool = search();
    let spec = serde_json::to_value(tool.spec()).unwrap();
    assert_eq!(
        spec,
        json!({
            "name": "search",
            "description": "Searches the notes.",
            "security": "restricted",
            "parameters": {
                "type": "object",
                "required": ["query"],
                "properties": {
                    "query": { "type": "string", "description": "The text to search for." },
                    "limit": { "type": ["integer", "null"], "format": "uint32", "minimum": 0, "default": null },
                },
            },
        })
    );
}

#[test]
fn nested_types_are_inlined() {
    #[derive(Deserialize, JsonSchema)]
    #[schemars(crate = "llmspell::schemars")]
    #[serde(rename_all = "snake_case")]
    enum Operation {
        Add,
        Multiply,
    }
    #[derive(Deserialize, JsonSchema)]
    #[schemars(crate = "llmspell::schemars")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Sum {
        operation: Operation,
        terms: Vec<Term>,
    }
    #[derive(Deserialize, JsonSchema)]
    #[schemars(crate = "llmspell::schemars")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Term {
        of: Option<Box<Term>>,
    }
    let tool = Tool::new("sum", "Computes.", |_: Sum, _| async move { Ok(0) });
    let schema = &tool.spec().parameters;
    let operation = json!({ "type": "string", "enum": ["add", "multiply"] });
    assert_eq!(schema["properties"]["operation"], operation, "{schema}");
    // A recursive type cannot be inlined.
    assert!(schema["$defs"]["Term"].is_object(), "{schema}");
}

#[tokio::test]
async fn erased_tool_maps_json_to_json() {
    let tool = search().erase();
    let found = tool.run(json!({ "query": "rust", "limit": 2 }), &Context::new()).await.unwrap();
    assert_eq!(found, json!({ "titles": ["rust", "rust"] }));
}

#[tokio::test]
async fn invalid_arguments_are_rejected_before_the_tool_runs() {
    let error = search().erase().run(json!({ "quary": "rust" }), &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), "search: invalid arguments: missing field `query`");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn tool_with_a_hand_written_schema_reads_its_arguments() {
    #[derive(Deserialize)]
    struct Double {
        n: i64,
    }
    let parameters = json!({ "type": "object", "required": ["n"], "properties": { "n": { "type": "integer" } } });
    let double = step(|args: Double, _| async move { Ok(args.n * 2) });
    let double = Tool::from_parts("double", "Doubles.", parameters.clone(), double).erase();
    assert_eq!((&double.spec().parameters, double.spec().security), (&parameters, Privilege::Safe));
    assert_eq!(double.run(json!({ "n": 4 }), &Context::new()).await.unwrap(), json!(8));
    let error = double.run(json!({}), &Context::new()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Invalid, "double: invalid arguments: missing field `n`")
    );
}

#[tokio::test(start_paused = true)]
async fn erased_tools_run_in_one_group() {
    let echo = Tool::new("echo", "Gives back what it gets.", |value: serde_json::Value, _| async move { Ok(value) });
    let group = all([search().erase(), echo.erase()]);
    let outs = group.run(json!({ "query": "x" }), &Context::new()).await.unwrap();
    assert_eq!(outs, [json!({ "titles": ["x"] }), json!({ "query": "x" })]);
}

#[tokio::test(start_paused = true)]
async fn fake_tool_is_deterministic_for_a_seed() {
    async fn outcomes(seed: u64, limit: usize) -> Vec<bool> {
        let tool = FakeTool::new("slow").delay(ms(5)).jitter(ms(20)).failure_rate(0.3).panic_rate(0.1).seed(seed);
        let outcomes = tool.stream(0..100, &Context::new()).limit(limit).ordered().collect().await;
        outcomes.iter().map(|outcome| outcome.is_ok()).collect()
    }
    let first = outcomes(1, 1).await;
    assert_eq!(first, outcomes(1, 1).await);
    assert_ne!(first, outcomes(2, 1).await);
    let failures = first.iter().filter(|ok| !**ok).count();
    assert!((25..=50).contains(&failures), "{failures} of 100 failed");
}

#[tokio::test(start_paused = true)]
async fn fake_tool_takes_its_delay_plus_jitter() {
    let tool = FakeTool::new("slow").delay(ms(100)).jitter(ms(50));
    for n in 0..50 {
        let started = Instant::now();
        tool.run(n, &Context::new()).await.unwrap();
        assert!((ms(100)..=ms(151)).contains(&started.elapsed()), "{:?}", started.elapsed());
    }
    let hanging = FakeTool::new("hanging").hang_rate(1.0).timeout(ms(60_000));
    assert_eq!(hanging.run(1, &Context::new()).await.unwrap_err().kind(), ErrorKind::Timeout);
}
