//! A flow file as a function of one record: a table of records and what should come out.
//!
//! Copy: `Flow::load` with a toolbox that has your own tools or stand-ins for them, `into_step`, and `run` on a record;
//! the file is the one that runs in earnest. With a paused clock its timeouts and retries take no time either.

use std::path::Path;

use llmspell::step::BoxStep;
use llmspell::tool::DynTool;
use llmspell::{Context, ErrorKind, Step, step};
use llmspell_flow::{Flow, Source, Toolbox};
use llmspell_test::FakeTool;
use llmspell_tools::Permissions;
use serde_json::{Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/flows/triage.yaml");

/// The shop's `customer`, as a step of the test's own.
fn toolbox(customer: impl Step<In = Value, Out = Value>) -> Toolbox {
    let parameters = json!({ "type": "object", "properties": { "order": { "type": "string" } } });
    let customer = DynTool::from_schema("customer", "Who has made an order.", parameters, customer);
    Toolbox::built_in(&Permissions::none()).with(customer)
}

fn triage(customer: impl Step<In = Value, Out = Value>) -> BoxStep<Value, Value> {
    let flow = Flow::load(Path::new(FILE), &toolbox(customer)).unwrap_or_else(|wrong| panic!("{wrong}"));
    flow.into_step()
}

/// Customers whose orders end in 7 have ordered a lot.
fn regulars() -> impl Step<In = Value, Out = Value> {
    step(|look: Value, _| async move {
        let is_regular = look["order"].as_str().is_some_and(|order| order.ends_with('7'));
        Ok(json!({ "orders": if is_regular { 40 } else { 1 } }))
    })
}

#[tokio::test]
async fn regular_customers_come_first() {
    let table = [
        (json!({ "subject": "Where is A-17?" }), json!({ "order": "A-17", "queue": "first" })),
        (json!({ "subject": "Hello", "body": "B-20 is broken" }), json!({ "order": "B-20", "queue": "later" })),
        (json!({ "subject": "Hello" }), json!({ "order": null, "queue": "later" })),
    ];
    let triage = triage(regulars());
    for (record, expected) in table {
        assert_eq!(triage.run(record.clone(), &Context::new()).await.unwrap(), expected, "{record}");
    }
}

#[tokio::test]
async fn a_record_without_a_subject_is_refused() {
    let error = triage(regulars()).run(json!({ "body": "A-17" }), &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("subject"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_shop_that_fails_twice_is_asked_three_times() {
    let flaky = FakeTool::new("shop").fails_first(2).then_fn(|_: Value, _| async { Ok(json!({ "orders": 1 })) });
    let outcome = triage(flaky).with_outcome().run(json!({ "subject": "A-17" }), &Context::new()).await.unwrap();
    assert_eq!(outcome.provenance.retries, 2);
    assert_eq!(outcome.result.unwrap()["queue"], "later");
}

#[tokio::test(start_paused = true)]
async fn many_records_at_once_and_never_more_than_four_at_the_shop() {
    let slow = FakeTool::new("shop").delay(std::time::Duration::from_secs(1)).then(regulars());
    let cx = Context::recording();
    let records = (0..12).map(|number| json!({ "subject": format!("A-{number}") }));
    let began = tokio::time::Instant::now();
    let mut outcomes = triage(slow).stream(records, &cx).ordered();
    let mut first = Vec::new();
    while let Some(outcome) = outcomes.next().await {
        if outcome.result.unwrap()["queue"] == "first" {
            first.push(outcome.index);
        }
    }
    assert_eq!(first, [7]);
    assert_eq!(began.elapsed().as_secs(), 3); // 12 records, four at a time, a second each
}

#[test]
fn a_flow_that_names_what_is_not_there_is_refused_before_it_runs() {
    let text = std::fs::read_to_string(FILE).unwrap().replace("tool: customer", "tool: custmer");
    let wrong = Flow::parse(&Source::new("triage.yaml", text), &toolbox(regulars())).err().unwrap().to_string();
    assert!(wrong.contains("did you mean `customer`?"), "{wrong}");
}
