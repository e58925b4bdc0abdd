//! Later settings override earlier ones. A preset changes several settings, and the differences of one agent follow it.
//! `edit_options` changes single options, and `options` would replace all of them.

use std::time::Duration;

use example_page::Section;
use llmspell::model::{Model, ModelError, ModelErrorClass, Options};
use llmspell::{Agent, Context, ErrorKind, Policy, Result, Retry, Step};
use llmspell_test::ScriptedModel;

use crate::presets;

/// How this company talks to models.
fn house(agent: llmspell::agent::AgentBuilder) -> llmspell::agent::AgentBuilder {
    let options = Options::new().temperature(0.2).max_tokens(400).seed(7);
    agent.system("You answer briefly.").options(options).apply(presets::cautious)
}

pub async fn run() -> Result<Section> {
    let mut section = Section::new("Overrides: what is set later counts");

    let model = ScriptedModel::new("scripted").says("Here is a poem.");
    let poet = Agent::builder(model.clone())
        .apply(house)
        .system("You are a poet.")
        .edit_options(|options| options.temperature(1.0)) // the rest stays as it is
        .build()?;
    poet.run("Write.".into(), &Context::new()).await?;
    let sent = &model.requests()[0];
    section.say("house + system + edit_options(temperature): what the model was sent");
    section.quote(serde_json::to_string(&sent.options)?);
    section.quote(serde_json::to_string(&sent.messages[0])?);
    let options = &sent.options;
    section.claim(
        options.temperature == Some(1.0) && sent.messages[0].text() == "You are a poet.",
        "the poet is a poet, and free with words",
    );
    section.claim(
        options.max_tokens == Some(400) && options.seed == Some(7),
        "what the house has set otherwise is still there",
    );

    // Policies are values, too: one preset, with a part of it replaced.
    let stubborn = || {
        let overloaded = || ModelError::new(ModelErrorClass::Overloaded, "no room");
        ScriptedModel::new("stubborn").fails(overloaded()).fails(overloaded()).says("At last.")
    };
    let ask = |policy: Policy| {
        let agent = Agent::of(stubborn().step().policy(policy)).apply(house).build();
        async move { agent?.run("Well?".into(), &Context::new()).await }
    };
    let patient = ask(presets::patient()).await?;
    let twice = ask(presets::patient().retry(Retry::immediately().max_attempts(2))).await;
    let kind = twice.as_ref().err().map(llmspell::Error::kind);
    section.claim(patient.text == "At last.", "patient() asks until there is an answer");
    section.claim(kind == Some(ErrorKind::AllFailed), "patient().retry(twice) does not");

    let kept = Agent::builder(presets::troubled().rate_limited(0.0, Duration::ZERO)).apply(presets::fast);
    let reply = kept.deadline(Duration::from_secs(5)).build()?.run("Take your time.".into(), &Context::new()).await?;
    let words = reply.text.split_whitespace().count() as u64;
    section.claim(words == presets::WORDS, format!("fast, with a deadline of 5 s: all {words} words"));
    Ok(section)
}
