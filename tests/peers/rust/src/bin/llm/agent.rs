//! An agent with two tools: arithmetic, and a table of real data.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use llmspell::agent::AgentReply;
use llmspell::model::{Finish, Message};
use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Agent, Context, Error, Result, Step, Tool, step};
use model_peers::{ensure, tasks};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::force::forced;
use super::model;

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "snake_case")]
enum Operation {
    Add,
    Subtract,
    Multiply,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Sum {
    operation: Operation,
    left: f64,
    right: f64,
}

/// A question, the call that answers it, and the resulting number.
struct Question {
    text: String,
    call: (&'static str, Value),
    number: f64,
}

/// The calls that the tools received.
type Calls = Arc<Mutex<Vec<(&'static str, Value)>>>;

fn record(calls: &Calls, tool: &'static str, arguments: &impl Serialize) -> Result<()> {
    calls.lock().unwrap_or_else(PoisonError::into_inner).push((tool, serde_json::to_value(arguments)?));
    Ok(())
}

fn agent(url: &str, table: Arc<BTreeMap<String, u64>>, calls: &Calls) -> Result<Agent> {
    let (sums, lookups) = (calls.clone(), calls.clone());
    let calculate = Tool::new("calculate", "Adds, subtracts or multiplies two numbers.", move |sum: Sum, _| {
        let recorded = record(&sums, "calculate", &sum);
        async move {
            recorded?;
            Ok(match sum.operation {
                Operation::Add => sum.left + sum.right,
                Operation::Subtract => sum.left - sum.right,
                Operation::Multiply => sum.left * sum.right,
            })
        }
    });
    // The schema lists the categories of the table, so that the model cannot invent one.
    let categories: Vec<_> = table.keys().collect();
    let parameters = json!({
        "type": "object",
        "properties": { "category": { "enum": categories, "description": "The name of the category." } },
        "required": ["category"],
    });
    let count = step(move |lookup: Value, _| {
        let recorded = record(&lookups, "count_tasks", &lookup);
        let found = lookup["category"].as_str().and_then(|category| table.get(category)).copied();
        async move {
            recorded?;
            found.map(Value::from).ok_or_else(|| Error::invalid(format!("unknown category {}", lookup["category"])))
        }
    });
    let count = DynTool::from_schema("count_tasks", "How many tasks a category has.", parameters, count);
    Agent::of(forced(model(url)?, 96)).system("You answer in one sentence.").tool(calculate).tools([count]).build()
}

fn questions(table: &BTreeMap<String, u64>) -> Vec<Question> {
    let lookups = ["simple_python", "parallel", "irrelevance", "live_simple"].map(|category| Question {
        text: format!("How many tasks does the category {category} have?"),
        call: ("count_tasks", json!({ "category": category })),
        number: table.get(category).copied().unwrap_or_default() as f64,
    });
    let sums = [
        ("What is 12 times 7?", "multiply", 12.0, 7.0),
        ("Add 1250 and 331.", "add", 1250.0, 331.0),
        ("Subtract 19 from 400.", "subtract", 400.0, 19.0),
        ("Multiply 25 by 44.", "multiply", 25.0, 44.0),
    ]
    .map(|(text, operation, left, right)| Question {
        text: text.to_owned(),
        call: ("calculate", json!({ "operation": operation, "left": left, "right": right })),
        number: match operation {
            "add" => left + right,
            "subtract" => left - right,
            _ => left * right,
        },
    });
    lookups.into_iter().chain(sums).collect()
}

/// Checks for every question that the call matches the schema, the tool ran, its result went back, and the model
/// completed its reply.
pub(crate) async fn answers_with_tools(url: &str, tasks: &str) -> Result<String> {
    let mut table = BTreeMap::new();
    for task in tasks::read(tasks)? {
        *table.entry(task.category).or_insert(0) += 1;
    }
    let table = Arc::new(table);
    let (mut right_calls, mut right_answers, mut tokens) = (0, 0, 0);
    let questions = questions(&table);
    for question in &questions {
        let calls = Calls::default();
        let agent = agent(url, table.clone(), &calls)?;
        let failed = |error: Error| Error::failed(format!("{}: {error:?}", question.text));
        let reply = agent.run(question.text.as_str().into(), &Context::new()).await.map_err(failed)?;
        let ran = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        check_reply(&reply, &ran).map_err(failed)?;
        right_calls += usize::from(ran[0] == question.call);
        right_answers += usize::from(reply.text.replace(',', "").contains(&question.number.to_string()));
        tokens += reply.usage.tokens();
    }
    let all = questions.len();
    Ok(format!(
        "{all} of {all} questions: a call that fits, its tool ran, its answer went back, a reply with usage ({tokens} \
         tokens); not asserted: {right_calls} called the right tool with the right arguments, {right_answers} said the \
         right number"
    ))
}

fn check_reply(reply: &AgentReply, ran: &[(&str, Value)]) -> Result<()> {
    ensure((reply.turns, reply.tool_calls) == (2, 1), || "not a call and an answer".into())?;
    ensure(ran.len() == 1, || format!("{} tools ran for one call: {:?}", ran.len(), reply.conversation.messages()))?;
    ensure(matches!(reply.finish, Some(Finish::Stop | Finish::Length)), || "no finish reason".into())?;
    ensure(reply.usage.input_tokens > 0 && reply.usage.output_tokens > 0, || "no usage".into())?;
    ensure(!reply.text.trim().is_empty(), || "an empty reply".into())?;
    let messages = reply.conversation.messages();
    let [Message::User { .. }, Message::Assistant { tool_calls, .. }, Message::Tool(answer), Message::Assistant { .. }] =
        messages
    else {
        return Err(Error::failed("the conversation is not question, call, result, answer"));
    };
    ensure(tool_calls[0].id == answer.call_id && tool_calls[0].name == ran[0].0, || "the result of another call".into())
}
