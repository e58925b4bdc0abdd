//! Single replies of a model.

use llmspell::model::{Finish, Model, Options, OutputFormat, Request};
use llmspell::{Context, Result, Step};
use model_peers::ensure;
use serde_json::{Value, json};

use super::model;

pub(crate) async fn reply_has_usage(url: &str) -> Result<String> {
    let (cx, mut chunks) = Context::new().with_chunks(64);
    let request =
        Request::new("What is the capital of France?").with_options(Options::new().max_tokens(24).temperature(0.0));
    let reply = model(url)?.step().run(request, &cx).await?;
    drop(cx);
    let mut pieces = 0;
    while chunks.next().await.is_some() {
        pieces += 1;
    }
    let usage = reply.usage;
    ensure(matches!(reply.finish, Finish::Stop | Finish::Length), || format!("{reply:?}"))?;
    ensure(pieces > 1 && usage.input_tokens > 0 && usage.output_tokens > 0, || format!("{pieces} pieces, {usage:?}"))?;
    Ok(format!(
        "{pieces} pieces, {} tokens in, {} out; not asserted: {:?}",
        usage.input_tokens, usage.output_tokens, reply.text
    ))
}

pub(crate) async fn reply_matches_a_schema(url: &str) -> Result<String> {
    let schema = json!({
        "type": "object",
        "properties": { "label": { "enum": ["spam", "ham"] }, "sure": { "type": "boolean" } },
        "required": ["label", "sure"],
        "additionalProperties": false,
    });
    let output = OutputFormat::schema("label", schema);
    let options = Options::new().max_tokens(40).temperature(0.0).output(output);
    let request = Request::new("Buy now, you have won a prize!!! Is this spam or ham?").with_options(options);
    let reply = model(url)?.step().run(request, &Context::new()).await?;
    let answer: Value = serde_json::from_str(&reply.text)?;
    let is_label = answer["label"] == "spam" || answer["label"] == "ham";
    ensure(is_label && answer["sure"].is_boolean(), || format!("{answer}"))?;
    Ok(answer.to_string())
}
