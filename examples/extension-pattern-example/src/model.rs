//! A custom model. This one follows a rule instead of a network: asked about cups of something, it calls
//! `convert`, and returns the result. An adapter of a real server has the same shape: a request in, events out.

use llmspell::Context;
use llmspell::model::{Finish, Message, Model, ModelEvent, ModelStream, Request, ToolCallDelta};
use llmspell::observe::Usage;
use serde_json::{Value, json};

pub struct Cook;

impl Model for Cook {
    fn name(&self) -> &str {
        "kitchen/cook"
    }

    fn stream(&self, request: Request, _cx: &Context) -> ModelStream {
        // Runs while a consumer polls the stream, and is dropped with it.
        ModelStream::produce(async move |events| {
            let read = request.last_text().split_whitespace().count() as u64;
            let next = match request.messages.last() {
                Some(Message::Tool(answer)) if answer.is_error => Err(sorry(&answer.text)),
                Some(Message::Tool(answer)) => Err(weighed(&answer.text)),
                Some(question) => {
                    measures(&question.text()).ok_or_else(|| "Ask me about cups of something.".to_owned())
                }
                None => Err("Well?".to_owned()),
            };
            match next {
                Ok(arguments) => {
                    let call = ToolCallDelta::begin(0, "call_0", "convert").with_arguments(arguments.to_string());
                    events.send(ModelEvent::ToolCall(call)).await?;
                    events.send(ModelEvent::Usage(Usage::new(read, 1))).await?;
                    events.send(ModelEvent::Finish(Finish::ToolCalls)).await
                }
                Err(text) => {
                    let words = text.split_inclusive(' ').map(str::to_owned);
                    let said = words.clone().count() as u64;
                    for word in words {
                        events.send(ModelEvent::Text(word)).await?;
                    }
                    events.send(ModelEvent::Usage(Usage::new(read, said))).await?;
                    // Without it, the reply would count as broken off.
                    events.send(ModelEvent::Finish(Finish::Stop)).await
                }
            }
        })
    }
}

/// The arguments of the call, if the question is about `2 cups of flour`.
fn measures(question: &str) -> Option<Value> {
    let words: Vec<_> = question.split(|c: char| c.is_whitespace() || c == '?').collect();
    let of = words.windows(4).find(|words| words[1].starts_with("cup") && words[2] == "of")?;
    Some(json!({ "amount": of[0].parse::<f64>().ok()?, "unit": "cup", "of": of[3] }))
}

fn weighed(answer: &str) -> String {
    let grams = serde_json::from_str::<Value>(answer).ok().and_then(|answer| answer["grams"].as_f64());
    grams.map_or_else(|| "I do not know.".to_owned(), |grams| format!("That is {grams} g."))
}

/// Without the schema, which is for models that can make use of it.
fn sorry(answer: &str) -> String {
    format!("I cannot say: {}", answer.split("; the schema").next().unwrap_or_default())
}
