//! Trials without faults.

use std::sync::Arc;
use std::time::Duration;

use llmspell::model::{Finish, Message, Model, ModelEvent, Request};
use llmspell::schemars::JsonSchema;
use llmspell::{Agent, Context, Error, Result, Step, Tool};
use model_peers::ensure;
use serde::Deserialize;

use super::{Mock, WIRES, journal};

pub(crate) async fn text_arrives_in_pieces(mock: &Mock) -> Result<String> {
    let mut counts = Vec::new();
    for wire in WIRES {
        let model = mock.models(wire).get("mock/some-model")?;
        let mut stream = model.stream(Request::new("hello"), &Context::new());
        let (mut text, mut pieces, mut finish) = (String::new(), 0, None);
        while let Some(event) = stream.next().await {
            match event? {
                ModelEvent::Text(piece) => {
                    text.push_str(&piece);
                    pieces += 1;
                }
                ModelEvent::Finish(reason) => finish = Some(reason),
                _ => {}
            }
        }
        ensure(text == "Hello from the other side of the wire.", || format!("{wire:?}: {text}"))?;
        ensure(pieces > 1 && finish == Some(Finish::Stop), || format!("{wire:?}: {pieces} pieces, {finish:?}"))?;
        counts.push(pieces.to_string());
    }
    Ok(format!("{} pieces, complete", counts.join(", ")))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
struct WeatherArguments {
    city: String,
}

/// Checks that two calls in one turn get two results in the next, each for its own call.
pub(crate) async fn agents_call_tools(mock: &Mock) -> Result<String> {
    for wire in WIRES {
        let weather = Tool::new("weather", "The weather in a city.", |arguments: WeatherArguments, _| async move {
            match arguments.city.as_str() {
                "Oslo" => Ok(-3),
                "Rome" => Ok(20),
                other => Err(Error::invalid(format!("unknown city {other}"))),
            }
        });
        let model = mock.models(wire).get("mock/some-model")?;
        let request = Request::new("weather?").with_tools(vec![Arc::new(weather.spec().clone())]);
        let reply = model.clone().step().run(request, &Context::new()).await?;
        ensure((reply.finish, reply.tool_calls.len()) == (Finish::ToolCalls, 2), || format!("{wire:?}: no calls"))?;

        let agent = Agent::builder(model).tool(weather).build()?;
        let question = format!("weather on {wire:?}");
        let reply = agent.run(question.as_str().into(), &Context::new()).await?;
        ensure((reply.turns, reply.tool_calls) == (2, 2), || format!("{wire:?}: {reply:?}"))?;
        ensure(reply.text == "It is warmer in Rome.", || format!("{wire:?}: {}", reply.text))?;
        let messages = reply.conversation.messages();
        let answers = messages.iter().filter_map(|message| match message {
            Message::Tool(answer) => Some((answer.call_id.as_str(), answer.text.as_str())),
            _ => None,
        });
        let answers: Vec<_> = answers.collect();
        ensure(answers.len() == 2 && answers[0].0 != answers[1].0, || format!("{wire:?}: {answers:?}"))?;
        ensure((answers[0].1, answers[1].1) == ("-3", "20"), || format!("{wire:?}: {answers:?}"))?;
        // aimock records the requests of all wires in the format of OpenAI.
        let sent = journal::requests(mock, &question).await?;
        ensure(sent.len() == 2, || format!("{wire:?}: {} requests for two turns", sent.len()))?;
        let roles = |entry: &serde_json::Value| -> Vec<String> {
            let messages = entry["body"]["messages"].as_array().cloned().unwrap_or_default();
            messages.iter().map(|message| message["role"].as_str().unwrap_or_default().to_owned()).collect()
        };
        ensure(roles(&sent[1]) == ["user", "assistant", "tool", "tool"], || format!("{wire:?}: {}", sent[1]["body"]))?;
    }
    Ok("two calls, two answers to them in the next turn, two requests in the journal".to_owned())
}

/// Checks that overlapping questions under a limit make one request each.
pub(crate) async fn stream_of_questions_asks_each_once(mock: &Mock) -> Result<String> {
    let ask = mock.model()?.step().retry(llmspell::Retry::exponential());
    let cx = Context::new();
    let questions = (0..50).map(|n| Request::new(format!("question {n}")));
    let mut answers = ask.stream(questions, &cx).limit(4);
    let mut answered = 0;
    while let Some(outcome) = answers.next().await {
        let index = outcome.index;
        let reply = outcome.result.map_err(|error| Error::failed(format!("question {index}: {error:?}")))?;
        ensure(reply.text == "An answer.", || format!("question {index}: {}", reply.text))?;
        answered += 1;
    }
    let sent = journal::requests(mock, "question ").await?;
    ensure((answered, sent.len()) == (50, 50), || format!("{answered} answers, {} requests", sent.len()))?;
    Ok("50 answers, 50 requests in the journal".to_owned())
}

/// Checks that the server waits for a slow consumer.
pub(crate) async fn slow_consumer_loses_nothing(mock: &Mock) -> Result<String> {
    let mut stream = mock.model()?.stream(Request::new("long"), &Context::new());
    let (mut text, mut pieces) = (String::new(), 0);
    while let Some(event) = stream.next().await {
        if let ModelEvent::Text(piece) = event? {
            text.push_str(&piece);
            pieces += 1;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    let expected: Vec<_> = (0..400).map(|n: u32| n.to_string()).collect();
    ensure(text == expected.join(" "), || format!("{} bytes of {}", text.len(), expected.join(" ").len()))?;
    Ok(format!("{pieces} pieces at 3 ms each, all there and in order"))
}
