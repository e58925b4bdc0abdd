//! `build` reports all mistakes of an agent at once, before any model is called, each with
//! a hint.

use std::time::Duration;

use example_page::Section;
use llmspell::model::{Options, ToolChoice};
use llmspell::schemars::JsonSchema;
use llmspell::{Agent, ErrorKind, Result, Tool};
use llmspell_test::ScriptedModel;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct Edit {
    path: String,
    text: String,
}

async fn edit(edit: Edit, _: llmspell::Context) -> Result<usize> {
    Ok(edit.path.len() + edit.text.len())
}

pub fn run() -> Result<Section> {
    let mut section = Section::new("Mistakes: all at once, before anything runs");

    let model = ScriptedModel::new("scripted");
    let built = Agent::builder(model.clone())
        .max_turns(0)
        .deadline(Duration::ZERO)
        .options(Options::new().temperature(-1.0).tool_choice(ToolChoice::Tool("edti".into())))
        .tool(Tool::new("edit", "Replaces a text.", edit).keyed("pth"))
        .tool(Tool::new("edit", "Replaces a text, too.", edit))
        .tool(Tool::new("find flights", "Finds flights.", edit))
        .build();
    let Some(error) = built.err() else {
        section.claim(false, "a wrong agent is not built");
        return Ok(section);
    };
    section.quote(format!("error: {error:#}"));

    let wrong = error.causes();
    let hints = wrong.iter().filter(|cause| cause.hint().is_some()).count();
    let nearest = |hint: &str| wrong.iter().any(|cause| cause.hint() == Some(hint));
    section.claim(
        error.kind() == ErrorKind::Invalid && wrong.len() == 7,
        format!("{} mistakes in one error, {hints} of them with a hint", wrong.len()),
    );
    section.claim(
        nearest("did you mean `path`?") && nearest("did you mean `edit`?"),
        "slips of the fingers are recognised: `pth`, `edti`",
    );
    section.claim(model.requests().is_empty(), format!("the model was asked {} times", model.requests().len()));
    Ok(section)
}
