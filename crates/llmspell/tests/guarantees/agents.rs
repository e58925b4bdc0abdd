//! An agent around a step.

use llmspell::agent::{Agent, Conversation, ToolFailure};
use llmspell::model::Message;
use llmspell::model::{Finish, Model, ModelEvent, ModelStream, Request, ToolCallDelta};
use llmspell::step::BoxStep;
use llmspell::tool::DynTool;
use llmspell::{Context, Step, step};
use serde_json::{Value, json};

/// A model that calls the tool twice in one turn with the user's message, and then replies with the tool's
/// result.
struct ToolCallingModel;

impl Model for ToolCallingModel {
    fn name(&self) -> &str {
        "obedient"
    }

    fn stream(&self, request: Request, _: &Context) -> ModelStream {
        ModelStream::produce(async move |events| {
            let Some(Message::User { .. }) = request.messages.last() else {
                events.send(ModelEvent::Text(request.last_text())).await?;
                return events.send(ModelEvent::Finish(Finish::Stop)).await;
            };
            for index in 0..2 {
                let arguments = format!("{{\"n\": {}}}", request.last_text());
                let call = ToolCallDelta::begin(index, "", "work").with_arguments(arguments);
                events.send(ModelEvent::ToolCall(call)).await?;
            }
            events.send(ModelEvent::Finish(Finish::ToolCalls)).await
        })
    }
}

/// Returns an agent whose tool is `inner`. It fails if its tool fails, and its output is its input.
pub fn agent(inner: BoxStep<usize, usize>) -> BoxStep<usize, usize> {
    let work = step(move |arguments: Value, cx: Context| {
        let inner = inner.clone();
        async move {
            let n = arguments["n"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
            Ok(json!(inner.run(n, &cx).await?))
        }
    });
    let work = DynTool::from_schema("work", "Works.", json!({ "type": "object" }), work);
    let agent = Agent::builder(ToolCallingModel).tools([work]).on_tool_failure(ToolFailure::Fail).build().unwrap();
    step(|n: usize, _| async move { Ok(Conversation::from(n.to_string())) })
        .then(agent)
        .then_fn(|reply, _| async move { Ok(reply.text.parse()?) })
        .boxed()
}
