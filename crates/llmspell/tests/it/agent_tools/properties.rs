//! Invariants of tool calls, for any calls, any failures, and any interruption.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use llmspell::agent::{Agent, Conversation, ToolFailure};
use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, ErrorKind, Step, Tool};
use llmspell_test::ScriptedModel;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::agent::{assert_answered, unfinished};
use crate::probe::{Watch, ms, settled_tasks};

#[derive(Clone, Copy, Debug, PartialEq)]
enum CallOutcome {
    Answers,
    Fails,
    Panics,
    Hangs,
    Unknown,
    BadArguments,
    NoJson,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Parallel,
    Exclusive,
    Keyed,
}

#[derive(Clone, Debug)]
struct PlannedCall {
    rule: Rule,
    key: u8,
    delay: u64,
    outcome: CallOutcome,
}

/// The interruption of a run, with its delay in milliseconds.
#[derive(Clone, Copy, Debug)]
enum End {
    Never,
    OwnDeadline(u64),
    OuterDeadline(u64),
    Cancelled(u64),
    Dropped(u64),
}

#[derive(Clone, Debug)]
struct Case {
    turns: Vec<Vec<PlannedCall>>,
    limit: usize,
    policy: ToolFailure,
    partial: bool,
    end: End,
}

fn cases() -> impl Strategy<Value = Case> {
    let outcome = prop_oneof![
        8 => Just(CallOutcome::Answers),
        1 => Just(CallOutcome::Fails),
        1 => Just(CallOutcome::Panics),
        1 => Just(CallOutcome::Hangs),
        1 => Just(CallOutcome::Unknown),
        1 => Just(CallOutcome::BadArguments),
        1 => Just(CallOutcome::NoJson),
    ];
    let rule = prop_oneof![2 => Just(Rule::Parallel), 1 => Just(Rule::Exclusive), 2 => Just(Rule::Keyed)];
    let call = (rule, 0..3u8, 0..60u64, outcome).prop_map(|(rule, key, delay, outcome)| PlannedCall {
        rule,
        key,
        delay,
        outcome,
    });
    let end = prop_oneof![
        Just(End::Never),
        (1..300u64).prop_map(End::OwnDeadline),
        (1..300u64).prop_map(End::OuterDeadline),
        (0..300u64).prop_map(End::Cancelled),
        (0..300u64).prop_map(End::Dropped),
    ];
    let policy = prop_oneof![
        2 => Just(ToolFailure::Tell),
        1 => Just(ToolFailure::CancelSiblings),
        1 => Just(ToolFailure::Fail),
    ];
    let turns = prop::collection::vec(prop::collection::vec(call, 1..12), 1..4);
    (turns, 1..6usize, policy, any::<bool>(), end).prop_map(|(turns, limit, policy, partial, end)| Case {
        turns,
        limit,
        policy,
        partial,
        end,
    })
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Arguments {
    key: u8,
    delay: u64,
    outcome: String,
}

/// The running calls, and every violated rule.
#[derive(Clone, Default)]
struct Monitor(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    alone: usize,
    all: usize,
    keys: HashMap<u8, usize>,
    broken: Vec<String>,
}

/// A running call.
struct RunningCall {
    monitor: Monitor,
    name: &'static str,
    key: u8,
}

impl Monitor {
    fn start(&self, name: &'static str, key: u8) -> RunningCall {
        let mut state = self.0.lock().unwrap();
        let in_the_way = state.alone > 0 || (name == "exclusive" && state.all > 0);
        if in_the_way {
            state.broken.push(format!("{name} next to an exclusive call or one to others"));
        }
        state.all += 1;
        state.alone += usize::from(name == "exclusive");
        if name == "keyed" {
            let count = state.keys.entry(key).or_default();
            *count += 1;
            if *count > 1 {
                state.broken.push(format!("two calls with the key {key}"));
            }
        }
        RunningCall { monitor: self.clone(), name, key }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        let mut state = self.monitor.0.lock().unwrap();
        state.all -= 1;
        state.alone -= usize::from(self.name == "exclusive");
        if self.name == "keyed" {
            *state.keys.get_mut(&self.key).unwrap() -= 1;
        }
    }
}

fn tool(name: &'static str, watch: &Watch, monitor: &Monitor) -> DynTool {
    let (watch, monitor) = (watch.clone(), monitor.clone());
    let work = Tool::new(name, "Works.", move |arguments: Arguments, cx: Context| {
        let (alive, place) = (watch.enter(), monitor.start(name, arguments.key));
        async move {
            let _place = place;
            sleep(ms(arguments.delay)).await;
            cx.emit(arguments.delay).await?;
            match arguments.outcome.as_str() {
                "Fails" => return Err(Error::failed("it failed")),
                "Panics" => panic!("it panicked"),
                "Hangs" => std::future::pending().await,
                _ => {}
            }
            alive.complete();
            Ok("fine")
        }
    });
    match name {
        "exclusive" => work.exclusive().erase(),
        "keyed" => work.keyed("key").erase(),
        _ => work.erase(),
    }
}

fn script(turns: &[Vec<PlannedCall>]) -> ScriptedModel {
    let mut model = ScriptedModel::new("test").delay(ms(3));
    for turn in turns {
        let mut events = Vec::new();
        for (index, call) in turn.iter().enumerate() {
            let name = match (call.outcome, call.rule) {
                (CallOutcome::Unknown, _) => "unknown",
                (_, Rule::Parallel) => "parallel",
                (_, Rule::Exclusive) => "exclusive",
                (_, Rule::Keyed) => "keyed",
            };
            let arguments = match call.outcome {
                CallOutcome::BadArguments => json!({ "key": call.key, "delay": "soon" }).to_string(),
                CallOutcome::NoJson => "{\"key\": ".to_owned(),
                outcome => json!({ "key": call.key, "delay": call.delay, "fate": format!("{outcome:?}") }).to_string(),
            };
            // Some calls have no id, and turns repeat ids of other turns.
            let id = if index % 3 == 2 { String::new() } else { format!("c{index}") };
            let delta = json!({ "index": index, "id": id, "name": name, "arguments": arguments });
            events.push(llmspell::model::ModelEvent::ToolCall(serde_json::from_value(delta).unwrap()));
        }
        events.insert(0, llmspell::model::ModelEvent::Text("I look.".into()));
        events.push(llmspell::model::ModelEvent::Finish(llmspell::model::Finish::ToolCalls));
        model = model.sends(events);
    }
    model.says("Done.")
}

/// Asserts that in every request, every call has a result.
fn assert_requests_are_complete(model: &ScriptedModel) {
    for request in model.requests() {
        assert_answered(&Conversation::from(request.messages.to_vec()));
    }
}

async fn run_case(case: Case) {
    let (watch, monitor, model) = (Watch::default(), Monitor::default(), script(&case.turns));
    let tools = ["parallel", "exclusive", "keyed"].map(|name| tool(name, &watch, &monitor));
    let mut builder = Agent::builder(model.clone()).tools(tools).tool_limit(case.limit).on_tool_failure(case.policy);
    if case.partial {
        builder = builder.partial();
    }
    // Some calls hang: the deadline ends the run.
    let deadline = if let End::OwnDeadline(after) = case.end { after } else { 2_000 };
    let agent = builder.deadline(ms(deadline)).build().unwrap();
    let (cx, canceller) = Context::new().cancellable();
    let result = match case.end {
        End::Never | End::OwnDeadline(_) => Some(agent.run("?".into(), &cx).await),
        End::OuterDeadline(after) => {
            let result = agent.deadline(ms(after)).run("?".into(), &cx).await;
            let is_outer = result.as_ref().is_err_and(|error| error.source().is_none());
            assert!(!is_outer, "the agent was dropped by the step around it");
            Some(result)
        }
        End::Cancelled(after) => {
            let run = agent.run("?".into(), &cx);
            let (result, ()) = tokio::join!(run, async {
                sleep(ms(after)).await;
                canceller.cancel();
            });
            Some(result)
        }
        End::Dropped(after) => timeout(ms(after), agent.run("?".into(), &cx)).await.ok(),
    };
    match &result {
        Some(Ok(reply)) => {
            assert_answered(&reply.conversation);
            assert!(reply.finish.is_some() || case.partial);
            assert!(reply.finish.is_none() || reply.text == "Done.");
        }
        Some(Err(error)) => {
            assert_answered(&unfinished(error).conversation);
            let expected = match error.kind() {
                ErrorKind::Timeout => true,
                ErrorKind::Cancelled => matches!(case.end, End::Cancelled(_)),
                ErrorKind::Failed | ErrorKind::Panicked => case.policy == ToolFailure::Fail,
                _ => false,
            };
            assert!(expected, "{error:#}");
        }
        None => {}
    }
    assert_requests_are_complete(&model);
    assert_eq!(settled_tasks().await, 0);
    assert_eq!(watch.alive(), 0, "nothing is alive afterwards");
    assert!(watch.most_at_once() <= case.limit);
    assert_eq!(monitor.0.lock().unwrap().broken, [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_call_has_one_result_and_no_rule_is_violated(case in cases()) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run_case(case));
    }
}
