//! Settings from a file: a struct of yours says what may be in it, and goes on building the agent. A preset by its name,
//! and what is set beside it counts.

use std::time::Duration;

use example_page::Section;
use llmspell::agent::AgentBuilder;
use llmspell::model::Options;
use llmspell::{Agent, Context, Error, Result, Step};
use llmspell_test::ScriptedModel;
use serde::Deserialize;

use crate::presets;

/// The settings of an agent in a file. An unknown field is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    preset: Preset,
    system: Option<String>,
    deadline_ms: Option<u64>,
    max_turns: Option<u32>,
    options: Option<Options>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Preset {
    Cautious,
    Fast,
}

impl Settings {
    fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::invalid(format!("settings.json: {error}")))
    }

    fn apply(self, agent: AgentBuilder) -> AgentBuilder {
        let mut agent = match self.preset {
            Preset::Cautious => agent.apply(presets::cautious),
            Preset::Fast => agent.apply(presets::fast),
        };
        if let Some(text) = self.system {
            agent = agent.system(text);
        }
        if let Some(time) = self.deadline_ms {
            agent = agent.deadline(Duration::from_millis(time));
        }
        if let Some(turns) = self.max_turns {
            agent = agent.max_turns(turns);
        }
        match self.options {
            Some(options) => agent.options(options),
            None => agent,
        }
    }
}

pub async fn run() -> Result<Section> {
    let mut section = Section::new("Settings: the same from a file");

    let text = include_str!("../settings.json");
    let model = ScriptedModel::new("scripted").says("Fine.");
    let settings = Settings::parse(text)?;
    Agent::builder(model.clone())
        .apply(|agent| settings.apply(agent))
        .build()?
        .run("Hi.".into(), &Context::new())
        .await?;
    let sent = &model.requests()[0];
    section.quote(text.trim_end());
    section.claim(
        sent.options.max_tokens == Some(400) && sent.messages[0].text() == "You answer briefly.",
        "the model is asked as the file says",
    );

    for (right, wrong) in [("max_turns", "max_turn"), ("temperature", "temprature"), ("fast", "quick")] {
        let mistake = Settings::parse(&text.replace(right, wrong)).err();
        section.say(format!("with `{wrong}` for `{right}`"));
        section
            .quote(mistake.as_ref().map_or_else(|| "nothing is wrong".to_owned(), |error| format!("error: {error:#}")));
        section.claim(
            mistake.is_some_and(|error| error.message().contains(wrong)),
            format!("`{wrong}` is not passed over in silence"),
        );
    }

    let zero = Settings::parse(&text.replace("\"max_turns\": 4", "\"max_turns\": 0"))?;
    let built = Agent::builder(model).apply(|agent| zero.apply(agent)).build();
    section
        .claim(built.is_err(), "what is well written and makes no sense is found by `build`, as in the next section");
    Ok(section)
}
