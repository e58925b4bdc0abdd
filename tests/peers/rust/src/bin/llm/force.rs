//! Forces tool calls of a model that does not decide by itself when to call a tool.

use std::sync::Arc;

use llmspell::model::{Message, Model, Options, Reply, Request, ToolChoice};
use llmspell::{Context, Step, step};
use llmspell_models::RemoteModel;

/// Returns whether the last message is the result of a tool.
pub(crate) fn has_called(request: &Request) -> bool {
    matches!(request.messages.last(), Some(Message::Tool(_)))
}

/// Returns a step whose first turn must call a tool and whose next turn must not, as a larger model would decide by
/// itself.
///
/// In the first turn the server's grammar ensures that the called tool exists and that its arguments match.
pub(crate) fn forced(model: RemoteModel, tokens: u32) -> impl Step<In = Request, Out = Reply> {
    let ask = Arc::new(model.step());
    step(move |request: Request, cx: Context| {
        let ask = ask.clone();
        async move {
            let choice = if has_called(&request) { ToolChoice::None } else { ToolChoice::Required };
            let options = Options::new().temperature(0.0).max_tokens(tokens).tool_choice(choice);
            ask.run(request.with_options(options), &cx).await
        }
    })
}
