//! The tests are the example: `cargo test`. This shows in a second what they are about.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use example_page::{Page, Section};
use integration_test_example::{DEADLINE, Lookup, MODEL_TIMEOUT, Refund, Shop, desk};
use llmspell::agent::Unfinished;
use llmspell::model::{Message, ModelError, ModelErrorClass};
use llmspell::{Context, Result, Step, step};
use llmspell_test::ScriptedModel;
use serde_json::json;
use tokio::time::Instant;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut page = match Page::open("Agents, tested: `cargo test` is the example, and this is what it does", &arguments)
    {
        Ok(page) => page,
        Err(code) => return code,
    };
    for show in [script, faults, clock] {
        match show() {
            Ok(section) => page.show(section),
            Err(error) => return example_page::failed(error),
        }
    }
    page.close()
}

/// A runtime whose clock jumps to the next timer whenever everything waits: what `#[tokio::test(start_paused = true)]`
/// makes.
fn paused<T>(test: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(test)
}

fn shop() -> Shop {
    Shop {
        orders: step(|look: Lookup, _| async move { Ok(json!({ "order": look.order, "paid": 4_200 })) }).boxed(),
        refunds: step(|refund: Refund, _| async move { Ok(json!({ "refunded": refund.amount })) }).boxed(),
    }
}

fn script() -> Result<Section> {
    let mut section = Section::new("A script: the test says what the model says (tests/it/scripted_model.rs)");
    let model = ScriptedModel::new("scripted").calls("order", json!({ "order": "A-17" })).says("You have paid 42 €.");
    let reply = paused(async { desk(model.clone(), shop())?.run("What about A-17?".into(), &Context::new()).await })?;
    for message in reply.conversation.messages() {
        section.quote(serde_json::to_string(message)?);
    }
    let result_text = model.requests()[1].last_text();
    section.claim(result_text.contains("4200"), format!("the model received the answer of the shop: {result_text}"));
    section
        .claim(model.turns_left() == 0, format!("it was asked {} times, as the script has it", model.requests().len()));
    Ok(section)
}

fn faults() -> Result<Section> {
    let mut section = Section::new("Faults: what goes wrong, on purpose (tests/it/faults.rs)");
    let wait = Duration::from_secs(7);
    let later = ModelError::new(ModelErrorClass::RateLimited, "slow down").with_status(429).with_retry_after(wait);
    let model = ScriptedModel::new("scripted")
        .fails(later)
        .calls("order", json!({ "order": "A-17" }))
        .calls("order", json!({ "order": "A-18" }))
        .says("I have found one of them.");
    let orders = step(|look: Lookup, _| async move {
        // An error would do; this is how bad it may get.
        if look.order == "A-18" { std::future::pending().await } else { Ok(json!(look.order)) }
    });
    let shop = Shop { orders: orders.boxed(), ..shop() };
    let (reply, took) = paused(async {
        let began = Instant::now();
        let reply = desk(model, shop)?.run("A-17 and A-18?".into(), &Context::new()).await?;
        Ok((reply, began.elapsed()))
    })?;
    let answers = reply.conversation.messages().iter().filter_map(|message| match message {
        Message::Tool(answer) => Some(answer),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    section.say("429 with Retry-After: 7; then two calls, one of which hangs");
    section.claim(took >= wait, format!("{} s have passed on the paused clock", took.as_secs()));
    section.claim(
        answers.len() == 2 && !answers[0].is_error && answers[1].is_error,
        format!("each call is answered: “{}” and “{}”", answers[0].text, answers[1].text),
    );
    section.claim(!reply.text.is_empty(), format!("and the desk says: {}", reply.text));
    Ok(section)
}

fn clock() -> Result<Section> {
    let mut section = Section::new("A paused clock: what takes minutes takes none (tests/it/paused_clock.rs)");
    let model = ScriptedModel::new("scripted").hangs().hangs().hangs();
    let began = SystemTime::now();
    let (error, took) = paused(async {
        let began = Instant::now();
        let answer = desk(model, shop())?.run("Hello?".into(), &Context::new()).await;
        Ok((answer.err(), began.elapsed()))
    })?;
    let really = began.elapsed().unwrap_or_default();
    let unfinished = error.as_ref().and_then(|error| error.downcast_ref::<Unfinished>());
    section.say(format!("a model that hangs, {} s for each of three attempts", MODEL_TIMEOUT.as_secs()));
    section.quote(format!("{:#}", unfinished.map_or_else(|| llmspell::Error::failed("-"), |it| it.cause.clone())));
    section.claim(
        took >= 3 * MODEL_TIMEOUT && took < DEADLINE,
        format!("{:.1} s on the paused clock", took.as_secs_f64()),
    );
    section.claim(really < took / 10, format!("{:.1} ms on the machine's", really.as_secs_f64() * 1e3));
    Ok(section)
}
