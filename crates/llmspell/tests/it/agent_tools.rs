//! The calls of one turn: their concurrency, their order, and the effect of failures.

mod properties;

use std::sync::{Arc, Mutex};

use llmspell::agent::{Agent, AgentBuilder, AgentEvent, Conversation, ToolFailure};
use llmspell::model::Message;
use llmspell::model::{ModelError, ModelErrorClass, ToolResult};
use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, ErrorKind, Limit, Result, Retry, Step, Tool, step};
use llmspell_test::ScriptedModel;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::agent::{assert_answered, tool, unfinished};
use crate::probe::{Watch, busy, ms, settled_tasks};
use crate::wait::completes;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct City {
    /// The city, in English.
    city: String,
}

fn weather() -> Tool<impl Step<In = City, Out = String>> {
    Tool::new("weather", "The weather.", |args: City, _| async move { Ok(format!("{}: 20 °C", args.city)) })
}

fn answers(conversation: &Conversation) -> Vec<&ToolResult> {
    let messages = conversation.messages().iter();
    messages.filter_map(|message| if let Message::Tool(answer) = message { Some(answer) } else { None }).collect()
}

/// One turn with these calls, and an answer.
fn turn(calls: &[(&str, Value)]) -> AgentBuilder {
    let model =
        calls.iter().fold(ScriptedModel::new("test"), |model, (tool, arguments)| model.calls(*tool, arguments.clone()));
    Agent::builder(model.says("Done."))
}

/// A tool that logs the start and the end of its calls.
fn logging_tool(name: &str, delay: u64, log: &Arc<Mutex<Vec<String>>>) -> DynTool {
    let (log, label) = (log.clone(), name.to_owned());
    let note = step(move |arguments: Value, _| {
        let (log, call) = (log.clone(), format!("{label}{}", arguments["n"]));
        async move {
            log.lock().unwrap().push(format!("{call} begins"));
            sleep(ms(delay)).await;
            log.lock().unwrap().push(format!("{call} ends"));
            Ok(arguments)
        }
    });
    DynTool::from_schema(name, "Notes.", json!({ "type": "object" }), note)
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_turn_run_concurrently_up_to_the_limit() {
    for (limit, expected) in [(8, 100), (4, 200), (3, 300), (1, 800), (1000, 100)] {
        let watch = Watch::default();
        let seen = watch.clone();
        let slow = step(move |_: Value, _| {
            let alive = seen.enter();
            async move {
                sleep(ms(100)).await;
                alive.complete();
                Ok(Value::Null)
            }
        });
        let slow = DynTool::from_schema("slow", "Takes 100 ms.", json!({ "type": "object" }), slow);
        let agent = turn(&vec![("slow", json!({})); 8]).tools([slow]).tool_limit(limit).build().unwrap();
        let started = Instant::now();
        let reply = agent.run("?".into(), &Context::new()).await.unwrap();
        assert_eq!((started.elapsed().as_millis(), watch.most_at_once()), (expected, limit.min(8)));
        assert_eq!((watch.completed(), reply.tool_calls), (8, 8));
    }
}

#[tokio::test(start_paused = true)]
async fn results_are_in_call_order_not_completion_order() {
    let delay = step(|arguments: Value, _| async move {
        sleep(ms(arguments["ms"].as_u64().unwrap())).await;
        Ok(arguments["ms"].clone())
    });
    let delay = DynTool::from_schema("delay", "Waits.", json!({ "type": "object" }), delay);
    let calls: Vec<_> = [50, 10, 40, 20, 30].iter().map(|ms| ("delay", json!({ "ms": ms }))).collect();
    let agent = turn(&calls).tools([delay]).build().unwrap();
    let mut events = agent.events("?", &Context::new());
    let (mut result_of_call, mut kept) = (Vec::new(), Vec::new());
    while let Some(event) = events.next().await {
        match event.unwrap() {
            AgentEvent::ToolAnswered(answer) => result_of_call.push(answer.text),
            AgentEvent::Done(reply) => {
                kept = answers(&reply.conversation).iter().map(|answer| answer.text.clone()).collect();
            }
            _ => {}
        }
    }
    assert_eq!(result_of_call, ["10", "20", "30", "40", "50"]);
    assert_eq!(kept, ["50", "10", "40", "20", "30"]);
}

#[tokio::test(start_paused = true)]
async fn exclusive_calls_run_alone_and_keyed_calls_in_sequence() {
    let log = Arc::default();
    let calls: Vec<_> = ["read", "write", "edit", "edit", "edit", "read"]
        .iter()
        .enumerate()
        .map(|(n, tool)| (*tool, json!({ "n": n, "path": n / 4 })))
        .collect();
    let tools = [
        logging_tool("read", 20, &log),
        logging_tool("write", 10, &log).exclusive(),
        logging_tool("edit", 10, &log).keyed("path"),
    ];
    let agent = turn(&calls).tools(tools).build().unwrap();
    agent.run("?".into(), &Context::new()).await.unwrap();
    let log = log.lock().unwrap();
    let at = |entry: &str| log.iter().position(|other| other == entry).unwrap_or_else(|| panic!("{entry}: {log:?}"));
    assert!(at("read0 ends") < at("write1 begins") && at("write1 ends") < at("edit2 begins"));
    assert!(at("edit2 ends") < at("edit3 begins"), "the same path");
    assert!(at("edit4 begins") < at("edit2 ends"), "another path, at the same time");
    assert!(at("read5 begins") < at("edit2 ends"));
}

/// The result of the only call, as the model receives it.
async fn result_of_call(builder: AgentBuilder) -> ToolResult {
    let agent = builder.tool(weather()).build().unwrap();
    let reply = completes(agent.run("?".into(), &Context::new())).await.unwrap();
    assert_eq!(reply.text, "Done.", "the model can try otherwise");
    assert_answered(&reply.conversation);
    answers(&reply.conversation)[0].clone()
}

#[tokio::test(start_paused = true)]
async fn invalid_calls_get_a_result_that_explains_the_problem() {
    // The order of the keys depends on a feature of serde_json, which other crates of the build may enable.
    let parameters = weather().spec().parameters.clone();
    assert_eq!(parameters["required"], json!(["city"]));
    let schema = format!("; the schema of the arguments is {parameters}");
    let bad = |arguments: &str| Agent::builder(ScriptedModel::new("t").calls_raw("weather", arguments).says("Done."));
    for (builder, complaint) in [
        (turn(&[("wether", json!({}))]), "error: unknown tool `wether`; did you mean `weather`?".to_owned()),
        (turn(&[("search", json!({}))]), "error: unknown tool `search`; the tools are: weather".to_owned()),
        (turn(&[("weather", json!({}))]), format!("error: invalid arguments: missing field `city`{schema}")),
        (turn(&[("weather", json!([1]))]), format!("error: the arguments must be a JSON object{schema}")),
        (bad(""), format!("error: invalid arguments: missing field `city`{schema}")),
        (
            bad("{\"city\": "),
            format!("error: the arguments are not valid JSON: EOF while parsing a value at line 1 column 9{schema}"),
        ),
    ] {
        // Invalid calls are not failures of a tool, so the policy does not matter.
        let answer = result_of_call(builder.on_tool_failure(ToolFailure::Fail)).await;
        assert_eq!((answer.text, answer.is_error), (complaint, true));
    }
    let fine = result_of_call(turn(&[("weather", json!({ "city": "Oslo" }))])).await;
    assert_eq!((fine.text.as_str(), fine.is_error), ("Oslo: 20 °C", false), "words as they are");
    let none = turn(&[("weather", json!({}))]).build().unwrap();
    let reply = none.run("?".into(), &Context::new()).await.unwrap();
    assert_eq!(answers(&reply.conversation)[0].text, "error: unknown tool `weather`; there are none");
}

/// Arguments and an output whose (de)serialization panics.
struct PanickingValue;

impl<'de> Deserialize<'de> for PanickingValue {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("in the arguments")
    }
}

impl JsonSchema for PanickingValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bomb".into()
    }

    fn json_schema(_: &mut llmspell::schemars::SchemaGenerator) -> llmspell::schemars::Schema {
        llmspell::schemars::json_schema!({ "type": "object" })
    }
}

impl Serialize for PanickingValue {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("in the output")
    }
}

fn any(name: &str, run: impl Step<In = Value, Out = Value>) -> DynTool {
    DynTool::from_schema(name, "Does something.", json!({ "type": "object" }), run)
}

fn fails_after(delay: u64, error: Error) -> DynTool {
    any(
        "fails",
        step(move |_: Value, _| {
            let error = error.clone();
            async move {
                sleep(ms(delay)).await;
                Err(error)
            }
        }),
    )
}

#[tokio::test(start_paused = true)]
async fn failures_and_panics_of_tools_are_results_for_the_model() {
    let panics = any("panics", step(|_: Value, _| async move { panic!("boom") }));
    let early =
        any("early", step(|_: Value, _: Context| -> std::future::Ready<Result<Value>> { panic!("early boom") }));
    let arguments = Tool::new("arguments", "Panics.", |_: PanickingValue, _| async move { Ok(()) }).erase().keyed("x");
    let output = Tool::new("output", "Panics.", |_: Value, _| async move { Ok(PanickingValue) }).exclusive().erase();
    let slow = any("slow", step(|_: Value, _| std::future::pending()).timeout(ms(50)));
    let fails = fails_after(0, Error::failed("no such file").with_hint("look elsewhere"));
    let names = ["panics", "early", "arguments", "output", "slow", "fails"];
    let calls: Vec<_> = names.iter().map(|name| (*name, json!({}))).collect();
    let agent = turn(&calls).tools([panics, early, arguments, output, slow, fails]).build().unwrap();
    let reply = completes(agent.run("?".into(), &Context::new())).await.unwrap();
    let result_of_call: Vec<_> = answers(&reply.conversation).iter().map(|answer| answer.text.as_str()).collect();
    assert_eq!(
        result_of_call,
        [
            "error: panicked: boom",
            "error: panicked: early boom",
            "error: panicked: in the arguments",
            "error: panicked: in the output",
            "error: timed out after 50 ms",
            "error: no such file; look elsewhere",
        ]
    );
    assert!(answers(&reply.conversation).iter().all(|answer| answer.is_error));
    assert_eq!((reply.tool_calls, settled_tasks().await), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn tool_has_the_limit_deadline_and_retries_of_its_step() {
    let tries = Arc::new(Mutex::new(0));
    let count = tries.clone();
    let flaky = step(move |_: Value, _| {
        let attempt = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        async move { if attempt < 3 { Err(busy()) } else { Ok(json!(attempt)) } }
    });
    let watch = Watch::default();
    let seen = watch.clone();
    let narrow = step(move |_: Value, _| {
        let alive = seen.enter();
        async move {
            sleep(ms(10)).await;
            drop(alive);
            Ok(Value::Null)
        }
    });
    let tools = [any("flaky", flaky.retry(Retry::exponential())), any("narrow", narrow.limit(Limit::new(2)))];
    let mut calls = vec![("narrow", json!({})); 6];
    calls.push(("flaky", json!({})));
    let agent = turn(&calls).tools(tools).build().unwrap();
    let reply = agent.run("?".into(), &Context::new()).await.unwrap();
    assert_eq!((watch.most_at_once(), answers(&reply.conversation)[6].text.as_str()), (2, "3"));
}

#[tokio::test(start_paused = true)]
async fn failure_policy_decides_about_sibling_calls() {
    let calls = [("slow", json!({})), ("fails", json!({})), ("quick", json!({})), ("slow", json!({}))];
    for policy in [ToolFailure::Tell, ToolFailure::CancelSiblings, ToolFailure::Fail] {
        let tools = [tool("slow", 500), tool("quick", 100), fails_after(100, Error::failed("no"))];
        let agent = turn(&calls).tools(tools).on_tool_failure(policy).build().unwrap();
        let started = Instant::now();
        let mut events = agent.events("?", &Context::new());
        let (mut result_of_call, mut result) = (0, None);
        while let Some(event) = completes(events.next()).await {
            match event {
                Ok(AgentEvent::ToolAnswered(_)) => result_of_call += 1,
                Ok(AgentEvent::Done(reply)) => result = Some(Ok(reply)),
                Err(error) => result = Some(Err(error)),
                _ => {}
            }
        }
        let conversation = match result.unwrap() {
            Ok(reply) => {
                assert_ne!(policy, ToolFailure::Fail);
                assert_eq!(result_of_call, 4, "every call that was told of is told to be answered");
                reply.conversation
            }
            Err(error) => {
                assert_eq!((policy, error.kind(), error.message()), (ToolFailure::Fail, ErrorKind::Failed, "no"));
                assert_eq!(error.path().unwrap().as_str(), "tools.fails");
                unfinished(&error).conversation.clone()
            }
        };
        assert_answered(&conversation);
        let texts: Vec<_> = answers(&conversation).iter().map(|answer| answer.text.clone()).collect();
        // A sibling that finished at the same moment has finished.
        assert_eq!((texts[1].as_str(), texts[2].as_str()), ("error: no", "{}"));
        let goes_on = policy == ToolFailure::Tell;
        assert_eq!([&texts[0], &texts[3]].map(|text| text.starts_with("cancelled")), [!goes_on; 2]);
        assert_eq!(started.elapsed().as_millis(), if goes_on { 500 } else { 100 });
        assert_eq!(settled_tasks().await, 0);
    }
}

/// A tool that takes `delay` milliseconds, and counts its completed calls.
fn paying_tool(delay: u64, paid: &Arc<Mutex<u32>>) -> DynTool {
    let paid = paid.clone();
    let pay = step(move |_: Value, _| {
        let paid = paid.clone();
        async move {
            sleep(ms(delay)).await;
            *paid.lock().unwrap() += 1;
            Ok(json!("paid"))
        }
    });
    any("pay", pay)
}

/// The number of completed calls of `pay` in the conversation.
fn reported_payments(conversation: &Conversation) -> usize {
    answers(conversation).iter().filter(|answer| answer.text == "paid").count()
}

#[tokio::test(start_paused = true)]
async fn call_finished_during_slow_event_delivery_is_not_reported_cancelled() {
    for policy in [ToolFailure::CancelSiblings, ToolFailure::Fail] {
        let paid = Arc::default();
        let chatty = step(|_: Value, cx: Context| async move {
            while !cx.is_cancelled() {
                cx.emit("still at it").await?;
            }
            Ok(Value::Null)
        });
        let tools = [fails_after(10, Error::failed("no")), paying_tool(150, &paid), any("chatty", chatty)];
        let calls = [("fails", json!({})), ("pay", json!({})), ("chatty", json!({}))];
        let agent = turn(&calls).tools(tools).on_tool_failure(policy).build().unwrap();
        let mut events = agent.events("?", &Context::new());
        let conversation = loop {
            match completes(events.next()).await.unwrap() {
                Ok(AgentEvent::Done(reply)) => break reply.conversation,
                Ok(_) => sleep(ms(100)).await,
                Err(error) => break unfinished(&error).conversation.clone(),
            }
        };
        assert_answered(&conversation);
        assert_eq!(reported_payments(&conversation), *paid.lock().unwrap() as usize, "{policy:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a tool that computes while its siblings are cancelled")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn call_finished_concurrently_with_cancellation_is_not_reported_cancelled() {
    for round in 0..50 {
        let policy = [ToolFailure::CancelSiblings, ToolFailure::Fail][round % 2];
        let paid = Arc::default();
        let hurry = step({
            let paid: Arc<Mutex<u32>> = Arc::clone(&paid);
            move |_: Value, _| {
                let paid = paid.clone();
                async move {
                    tokio::task::yield_now().await;
                    std::thread::sleep(std::time::Duration::from_micros(200));
                    *paid.lock().unwrap() += 1;
                    Ok(json!("paid"))
                }
            }
        });
        let tools = [fails_after(0, Error::failed("no")), any("pay", hurry)];
        let mut calls = vec![("pay", json!({})); 3];
        calls.insert(1, ("fails", json!({})));
        let agent = turn(&calls).tools(tools).on_tool_failure(policy).build().unwrap();
        let conversation = match agent.run("?".into(), &Context::new()).await {
            Ok(reply) => reply.conversation,
            Err(error) => unfinished(&error).conversation.clone(),
        };
        assert_eq!(reported_payments(&conversation), *paid.lock().unwrap() as usize, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_error_from_inside_a_tool_is_a_failure() {
    let refused = || ModelError::new(ModelErrorClass::InvalidRequest, "there is no such model");
    let inner = || Agent::builder(ScriptedModel::new("inner").fails(refused())).build().unwrap();
    let calls = [("slow", json!({})), ("ask", json!({ "prompt": "?" }))];
    let agent = |policy| {
        turn(&calls).tools([tool("slow", 500), inner().into_tool("ask", "Asks.")]).on_tool_failure(policy).build()
    };
    let error = agent(ToolFailure::Fail).unwrap().run("?".into(), &Context::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.path().unwrap().as_str()), (ErrorKind::Invalid, "tools.ask.model"));
    let reply = agent(ToolFailure::CancelSiblings).unwrap().run("?".into(), &Context::new()).await.unwrap();
    let texts: Vec<_> = answers(&reply.conversation).iter().map(|answer| answer.text.as_str()).collect();
    assert!(texts[0].starts_with("cancelled"), "{texts:?}");
    assert!(texts[1].contains("there is no such model") && !texts[1].contains("schema"), "{texts:?}");

    // Arguments that the tool checks itself are mistakes of the model, as are those of an agent.
    let picky = any("picky", step(|_: Value, _| async { Err(Error::bad_arguments("`n` must be even")) }));
    for (tool, name) in [(picky, "picky"), (inner().into_tool("ask", "Asks."), "ask")] {
        let answer =
            result_of_call(turn(&[(name, json!({ "n": 1 }))]).tools([tool]).on_tool_failure(ToolFailure::Fail)).await;
        assert!(answer.text.contains("the schema of the arguments is"), "{answer:?}");
    }
}

#[tokio::test]
async fn tool_without_arguments_works_and_non_object_arguments_are_rejected() {
    let now = || Tool::new("clock.now", "The time.", |(): (), _| async { Ok("noon") });
    assert_eq!(now().spec().parameters, json!({ "type": "object", "properties": {} }));
    for arguments in [json!({}), Value::Null] {
        assert_eq!(now().erase().run(arguments, &Context::new()).await.unwrap(), "noon");
    }
    assert!(now().erase().run(json!({ "zone": "CET" }), &Context::new()).await.is_err());

    let error = turn(&[]).tool(now()).build().err().unwrap();
    assert!(error.hint().unwrap().contains("Tool::renamed"));
    let agent = turn(&[("now", json!({}))]).tool(now().renamed("now").exclusive()).build().unwrap();
    let reply = agent.run("?".into(), &Context::new()).await.unwrap();
    assert_eq!(answers(&reply.conversation)[0].text, "noon");

    let list = Tool::new("sum", "Sums.", |numbers: Vec<i64>, _| async move { Ok(numbers.iter().sum::<i64>()) });
    let error = turn(&[]).tool(list).build().err().unwrap();
    assert_eq!(error.message(), "the arguments of the tool `sum` are of the type \"array\"");
    assert!(error.hint().is_some());
}

#[tokio::test(start_paused = true)]
async fn unknown_tool_cancels_no_sibling() {
    let calls = [("slow", json!({})), ("unknown", json!({})), ("bad", json!({}))];
    for policy in [ToolFailure::CancelSiblings, ToolFailure::Fail] {
        let bad = Tool::new("bad", "Wants a city.", |_: City, _| async move { Ok(()) }).erase();
        let agent = turn(&calls).tools([tool("slow", 500), bad]).on_tool_failure(policy).build().unwrap();
        let reply = agent.run("?".into(), &Context::new()).await.unwrap();
        assert_eq!(answers(&reply.conversation)[0].text, "{}");
    }
}

#[tokio::test(start_paused = true)]
async fn results_before_the_deadline_are_kept() {
    let calls = [("quick", json!({ "n": 1 })), ("slow", json!({})), ("quick", json!({ "n": 2 })), ("slow", json!({}))];
    let agent = turn(&calls).tools([tool("quick", 100), tool("slow", 500)]).deadline(ms(300)).build().unwrap();
    let error = agent.run("?".into(), &Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let so_far = unfinished(&error);
    let texts: Vec<_> = answers(&so_far.conversation).iter().map(|answer| answer.text.as_str()).collect();
    assert_eq!((texts[0], texts[2], so_far.tool_calls), ("{\"n\":1}", "{\"n\":2}", 2));
    assert!(texts[1].starts_with("cancelled") && texts[3].starts_with("cancelled"));
    assert_eq!(settled_tasks().await, 0);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_in_one_turn() {
    const CALLS: usize = 10_000;
    for (limit, kind) in [(8, 0), (CALLS, 0), (8, 1), (64, 2), (8, 3)] {
        let watch = Watch::default();
        let seen = watch.clone();
        let work = any(
            "work",
            step(move |_: Value, _| {
                let alive = seen.enter();
                async move {
                    sleep(ms(1)).await;
                    alive.complete();
                    Ok(Value::Null)
                }
            }),
        );
        let work = match kind {
            1 => work.exclusive(),
            2 => work.keyed("key"),
            _ => work,
        };
        let name = if kind == 3 { "unknown" } else { "work" };
        let calls: Vec<_> = (0..CALLS).map(|n| (name, json!({ "key": n % 100 }))).collect();
        let agent = turn(&calls).tools([work]).tool_limit(limit).build().unwrap();
        let reply = agent.run("?".into(), &Context::new()).await.unwrap();
        assert_eq!(reply.tool_calls as usize, CALLS);
        assert_answered(&reply.conversation);
        assert!(watch.most_at_once() <= if kind == 1 { 1 } else { limit });
        assert_eq!(watch.completed(), if kind == 3 { 0 } else { CALLS });
    }
}
