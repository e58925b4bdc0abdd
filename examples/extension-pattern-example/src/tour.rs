//! The tour: what the extension brings, and an agent, a flow file and an MCP server that use it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use example_page::{Page, Section};
use llmspell::registry::Registry;
use llmspell::{Agent, Context, Error, ErrorKind, Result, Step};
use llmspell_flow::{Flow, Toolbox};
use llmspell_tools::Permissions;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::extension::Kitchen;
use crate::shop;

const FLOW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/flows/shopping.yaml");
const RECORDS: &str = include_str!("../flows/recipe.jsonl");

pub async fn run(mut page: Page) -> Result<ExitCode> {
    let kitchen = Kitchen::new();
    page.show(brings(&kitchen)?);
    page.show(agent(&kitchen).await?);
    let cx = Context::new();
    let shop = shop::connect(&cx).await?;
    let registry = Registry::new().with(kitchen.clone())?.with(shop.extension(&cx).await?)?;
    page.show(server(&registry, shop.process_id().await).await?);
    page.show(flow(&kitchen, &registry).await?);
    drop(registry);
    shop.close().await;
    Ok(page.close())
}

fn brings(kitchen: &Kitchen) -> Result<Section> {
    let mut section = Section::new("Parts of the extension");
    let registry = Registry::new().with(kitchen.clone())?;
    for tool in registry.tools() {
        section.say(format!("tool   {:<13} {:<11} {}", tool.name, tool.security.as_str(), tool.description));
    }
    for (name, step) in registry.steps() {
        section.say(format!("step   {name:<13} {:<11} {}", "", step.description));
    }
    for model in registry.models() {
        section.say(format!("model  {model}"));
    }

    let typo = registry.find_model("kitchen/cok").err();
    section.claim(
        typo.as_ref().and_then(Error::hint) == Some("did you mean `kitchen/cook`?"),
        "a slip of the fingers is told what was meant",
    );
    let twice = registry.with(kitchen.clone()).err();
    section.say("the same extension once more:");
    section.quote(twice.as_ref().map_or_else(String::new, |error| format!("error: {error:#}")));
    section.claim(
        twice.is_some_and(|error| error.kind() == ErrorKind::Invalid),
        "nothing takes the place of something else in silence",
    );
    Ok(section)
}

async fn agent(kitchen: &Kitchen) -> Result<Section> {
    let mut section = Section::new("An agent of its model and its tools");
    let registry = Registry::new().with(kitchen.clone())?;
    let agent = Agent::builder(registry.find_model("kitchen/cook")?)
        .tools(registry.tools().map(|tool| registry.find_tool(&tool.name).cloned()).collect::<Result<Vec<_>>>()?)
        .build()?
        .named("agent");

    // Whatever runs below this context is counted by the extension's reader of events.
    let cx = registry.observe(&Context::new());
    let mut live = Vec::new();
    let questions = ["How much is 2 cups of flour?", "And 3 cups of butter?", "And 1 cup of fluor?"];
    let mut replies = agent.stream(questions.map(Into::into), &cx).limit(1).ordered();
    while let Some(outcome) = replies.next().await {
        let reply = outcome.result?;
        section.say(format!("{:<29} {}", questions[outcome.index], reply.text));
        live.push(kitchen.call_counter.ended("agent"));
    }
    section.say("what the reader of events has counted:");
    section.quote(&kitchen.call_counter);
    section.claim(live == [1, 2, 3], format!("it counts while they run: {live:?} after each reply"));
    section.claim(
        kitchen.call_counter.ended("agent.model") == 6 && kitchen.call_counter.ended("agent.tools.convert") == 2,
        "own model and own tool, under one path in events, errors and reports",
    );
    Ok(section)
}

async fn server(registry: &Registry, process: Option<u32>) -> Result<Section> {
    let mut section = Section::new("An MCP server, plugged in");
    for tool in registry.tools().filter(|tool| tool.name.starts_with("shop_")) {
        section.say(format!("tool   {:<17} {:<11} {}", tool.name, tool.security.as_str(), tool.description));
    }
    let price = registry.find_tool("shop_price")?;
    let cx = Context::new();
    let answer = price.run(json!({ "what": "flour", "grams": 360 }), &cx).await?;
    section.say(format!("shop_price(360 g of flour) = {} cents", answer["cents"]));
    let there = answer["process"].as_u64();
    section.claim(
        there.is_some() && there == process.map(u64::from) && there != Some(u64::from(std::process::id())),
        "it runs in a process of its own",
    );
    let refused = price.run(json!({ "what": "saffron", "grams": 1 }), &cx).await.err();
    section.quote(refused.as_ref().map_or_else(String::new, |error| format!("error: {error:#}")));
    section.claim(
        refused.is_some_and(|error| error.path().is_some_and(|path| path.to_string() == "shop_price")),
        "its errors are errors, with the path of the step",
    );

    // A delivery takes a minute; this one is given 0.3 s.
    let deliver = registry.find_tool("shop_deliver")?.clone().timeout(Duration::from_millis(300));
    let on_their_way = registry.find_tool("shop_on_their_way")?;
    let goods = json!({ "what": "flour", "grams": 1 });
    let (late, meanwhile) = tokio::join!(deliver.run(goods, &cx), async {
        sleep(Duration::from_millis(150)).await;
        on_their_way.run(json!({}), &cx).await
    });
    let (meanwhile, mut after) = (meanwhile?["deliveries"].clone(), json!(null));
    // The cancellation is on its way, too.
    for _ in 0..50 {
        after = on_their_way.run(json!({}), &cx).await?["deliveries"].clone();
        if after == 0 {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    section.say("shop_deliver, which takes a minute, with a timeout of 0.3 s:");
    section.claim(late.is_err_and(|error| error.kind() == ErrorKind::Timeout), "its caller waits no longer");
    section.claim(
        meanwhile == 1 && after == 0,
        format!("and the server stops: {meanwhile} delivery on its way before, {after} after"),
    );
    Ok(section)
}

async fn flow(kitchen: &Kitchen, registry: &Registry) -> Result<Section> {
    let mut section = Section::new("A flow file that calls all of it by name: flows/shopping.yaml");
    let load = |permissions: &Permissions| -> Result<Flow> {
        let toolbox = Toolbox::built_in(permissions).with_registry(registry)?;
        Ok(Flow::load(Path::new(FLOW), &toolbox)?)
    };
    let refused = load(&Permissions::none())?.check_permissions().err();
    section.claim(refused.is_some(), "a tool that is not safe does not run unless its user allows it:");
    // Without the folder that this was built in.
    section.quote(
        refused.map_or_else(String::new, |refused| {
            refused.to_string().replace(concat!(env!("CARGO_MANIFEST_DIR"), "/"), "")
        }),
    );

    let flow = load(&Permissions::none().allow_tool("shop_price"))?.into_step();
    kitchen.call_counter.clear();
    let cx = registry.observe(&Context::new());
    let records = RECORDS.lines().map(serde_json::from_str).collect::<std::result::Result<Vec<Value>, _>>()?;
    let mut outcomes = flow.stream(records.clone(), &cx).ordered();
    let (mut seen, mut failed) = (Vec::new(), Vec::new());
    while let Some(outcome) = outcomes.next().await {
        let record = &records[outcome.index];
        match outcome.result {
            Ok(output) => {
                section.say(format!("{record}  →  {output}"));
                seen.push(output["grams"].as_f64());
            }
            Err(error) => {
                section.say(format!("{record}  →  {error}; {}", error.hint().unwrap_or_default()));
                failed.push(error);
            }
        }
    }
    section.quote(&kitchen.call_counter);
    section.claim(seen == [Some(450.0), Some(198.0)], "two records have their weight for as many people as come");
    section.claim(
        failed.len() == 1 && failed[0].path().is_some_and(|path| path.to_string() == "shopping.weight"),
        format!("{} record failed, and says where", failed.len()),
    );
    section
        .claim(kitchen.call_counter.ended("shopping.price") == 2, "the reader of events hears of flows as of agents");
    Ok(section)
}
