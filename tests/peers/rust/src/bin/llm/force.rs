//! Makes a model that does not know when to call a tool do so.

use std::sync::Arc;

use llmspell::model::{Message, Model, Options, Reply, Request, ToolChoice};
use llmspell::{Context, Step, step};
use llmspell_models::RemoteModel;

/// Whether the model is to answer what its tools have said.
pub(crate) fn has_called(request: &Request) -> bool {
    matches!(request.messages.last(), Some(Message::Tool(_)))
}

/// The first turn has to call a tool and the next must not, as a larger model would decide by itself.
///
/// Of the two, the first is enforced by a grammar: whatever is called is there, and its arguments fit.
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
