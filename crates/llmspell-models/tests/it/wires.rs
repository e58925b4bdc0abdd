//! Successful replies on every wire.

use llmspell::model::{Finish, Message, Model, ModelEvent, Options, Request};
use llmspell::observe::Usage;
use llmspell::{Context, Step};
use llmspell_models::Wire;
use llmspell_test::fault_server::Answer;
use serde_json::{Value, json};

use super::{KEY, WIRES, events, model, server, soon};

#[tokio::test]
async fn a_reply_in_words() {
    for wire in WIRES {
        let server = server([Answer::says(wire, "The capital is Paris.")]).await;
        let (heard, error) = events(&model(&server, wire), "The capital of France?").await;
        assert!(error.is_none(), "{wire:?}: {error:?}");
        assert!(matches!(heard[0], ModelEvent::Started { .. }), "{wire:?}: {heard:?}");
        assert_eq!(heard.last(), Some(&ModelEvent::Finish(Finish::Stop)), "{wire:?}: {heard:?}");

        let server = super::server([Answer::says(wire, "The capital is Paris.")]).await;
        let reply = soon(model(&server, wire).step().run(Request::new("?"), &Context::new())).await.unwrap();
        assert_eq!(reply.text, "The capital is Paris.", "{wire:?}");
        assert_eq!(reply.usage, Usage::new(12, 5), "{wire:?}");
        assert_eq!(reply.model.as_deref(), Some("scripted-1"), "{wire:?}");
        let request_id = (wire != Wire::Ollama).then_some("req_scripted");
        assert_eq!(reply.request_id.as_deref(), request_id, "{wire:?}");
    }
}

#[tokio::test]
async fn words_come_as_they_are_said() {
    for wire in WIRES {
        let server = server([Answer::says(wire, "one two three")]).await;
        let (heard, _) = events(&model(&server, wire), "Count.").await;
        let texts: Vec<_> = heard
            .into_iter()
            .filter_map(|event| match event {
                ModelEvent::Text(text) => Some(text),
                _ => None,
            })
            .collect();
        assert_eq!(texts, ["one ", "two ", "three"], "{wire:?}");
    }
}

#[tokio::test]
async fn a_call_of_a_tool_comes_in_pieces_that_are_each_said_once() {
    let arguments = json!({ "city": "Ōsaka", "days": [1, 2, 3] });
    for wire in WIRES {
        let server = server([Answer::calls(wire, "weather", &arguments)]).await;
        let (heard, error) = events(&model(&server, wire), "Weather?").await;
        assert!(error.is_none(), "{wire:?}: {error:?}");
        let mut all = String::new();
        for event in &heard {
            if let ModelEvent::ToolCall(delta) = event {
                assert_eq!(delta.index, 0, "{wire:?}");
                all.push_str(&delta.arguments);
            }
        }
        assert_eq!(serde_json::from_str::<Value>(&all).unwrap(), arguments, "{wire:?}: {heard:?}");

        let server = super::server([Answer::calls(wire, "weather", &arguments)]).await;
        let reply = soon(model(&server, wire).step().run(Request::new("?"), &Context::new())).await.unwrap();
        assert_eq!(reply.finish, Finish::ToolCalls, "{wire:?}");
        assert_eq!((reply.tool_calls.len(), reply.tool_calls[0].name.as_str()), (1, "weather"), "{wire:?}");
        assert!(!reply.tool_calls[0].id.is_empty(), "{wire:?}");
    }
}

#[tokio::test]
async fn a_call_without_arguments_has_an_empty_object() {
    let begin = json!({ "content_block": { "type": "tool_use", "id": "t1", "name": "now", "input": {} } });
    let answer = Answer::events()
        .event("content_block_start", begin)
        .event("content_block_stop", json!({}))
        .event("message_delta", json!({ "delta": { "stop_reason": "tool_use" } }))
        .event("message_stop", json!({}));
    let server = server([answer]).await;
    let reply = soon(model(&server, Wire::Anthropic).step().run(Request::new("?"), &Context::new())).await.unwrap();
    assert_eq!(reply.tool_calls[0].arguments, "{}");
}

#[tokio::test]
async fn each_wire_has_its_address_and_its_header_for_the_key() {
    let expected = [
        (Wire::OpenAi, "/v1/chat/completions", "authorization", format!("Bearer {KEY}")),
        (Wire::Anthropic, "/v1/messages", "x-api-key", KEY.to_owned()),
        (Wire::Gemini, "/v1/models/scripted:streamGenerateContent?alt=sse", "x-goog-api-key", KEY.to_owned()),
        (Wire::Ollama, "/v1/api/chat", "authorization", format!("Bearer {KEY}")),
    ];
    for (wire, path, header, value) in expected {
        let server = server([Answer::says(wire, "Hi")]).await;
        events(&model(&server, wire), "Hello?").await;
        let request = &server.requests()[0];
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", path));
        assert_eq!(request.header(header), Some(value.as_str()), "{wire:?}");
    }
}

#[tokio::test]
async fn cut_off_by_the_number_of_tokens() {
    let finish = json!({ "choices": [{ "index": 0, "delta": { "content": "Once" }, "finish_reason": "length" }] });
    let server = server([Answer::events().data(finish).done()]).await;
    let request = Request::new("A story").with_options(Options::new().max_tokens(1));
    let reply = soon(model(&server, Wire::OpenAi).step().run(request, &Context::new())).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.finish), ("Once", Finish::Length));
}

#[tokio::test]
async fn a_reply_with_a_reason_is_complete_even_if_its_server_never_says_done() {
    let words = json!({ "choices": [{ "index": 0, "delta": { "content": "Well." }, "finish_reason": null }] });
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 1 });
    let finish = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }], "usage": usage });
    let server = server([Answer::events().data(words.clone()).data(finish.clone())]).await;
    let reply = soon(model(&server, Wire::OpenAi).step().run(Request::new("?"), &Context::new())).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.finish, reply.usage), ("Well.", Finish::Stop, Usage::new(3, 1)));

    // Text that looks like a finish reason is not one.
    let quoted = json!({ "choices": [{ "index": 0, "delta": { "content": "\"finish_reason\":\"stop\"" } }] });
    let server = super::server([Answer::events().data(quoted)]).await;
    let (_, error) = events(&model(&server, Wire::OpenAi), "?").await;
    assert!(error.is_some_and(|error| error.message().contains("without a finish reason")));
}

#[tokio::test]
async fn a_prompt_that_gemini_refuses_is_a_filtered_reply() {
    let blocked = json!({ "promptFeedback": { "blockReason": "SAFETY" }, "usageMetadata": { "promptTokenCount": 3 } });
    let server = server([Answer::events().data(blocked)]).await;
    let (heard, error) = events(&model(&server, Wire::Gemini), "?").await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(heard.last(), Some(&ModelEvent::Finish(Finish::ContentFilter)));
}

#[tokio::test]
async fn thoughts_that_anthropic_signs_go_back_as_they_came() {
    let block = |index: u64, block: Value| json!({ "index": index, "content_block": block });
    let delta = |delta: Value| json!({ "delta": delta });
    let stop = || json!({});
    let answer = Answer::events()
        .event("content_block_start", block(0, json!({ "type": "thinking", "thinking": "", "signature": "" })))
        .event("content_block_delta", delta(json!({ "type": "thinking_delta", "thinking": "Let me " })))
        .event("content_block_delta", delta(json!({ "type": "thinking_delta", "thinking": "look." })))
        .event("content_block_delta", delta(json!({ "type": "signature_delta", "signature": "SIG" })))
        .event("content_block_stop", stop())
        .event("content_block_start", block(1, json!({ "type": "redacted_thinking", "data": "XYZ" })))
        .event("content_block_stop", stop())
        .event("content_block_start", block(2, json!({ "type": "tool_use", "id": "t1", "name": "look", "input": {} })))
        .event("content_block_delta", delta(json!({ "type": "input_json_delta", "partial_json": "{\"at\":1}" })))
        .event("content_block_stop", stop())
        .event("message_delta", json!({ "delta": { "stop_reason": "tool_use" } }))
        .event("message_stop", json!({}));
    let server = server([answer, Answer::says(Wire::Anthropic, "Seen.")]).await;
    let ask = model(&server, Wire::Anthropic).step();
    let reply = soon(ask.run(Request::new("Look."), &Context::new())).await.unwrap();
    assert_eq!(reply.reasoning, "Let me look.");

    // As an agent does, and through JSON, as a journal does.
    let messages = vec![Message::user("Look."), reply.into_message(), answered("t1", "look")];
    let messages: Vec<Message> = serde_json::from_str(&serde_json::to_string(&messages).unwrap()).unwrap();
    soon(ask.run(Request::of(messages), &Context::new())).await.unwrap();
    let sent = &server.requests()[1].body["messages"];
    assert_eq!(
        sent[1]["content"],
        json!([
            { "type": "thinking", "thinking": "Let me look.", "signature": "SIG" },
            { "type": "redacted_thinking", "data": "XYZ" },
            { "type": "tool_use", "id": "t1", "name": "look", "input": { "at": 1 } },
        ])
    );
    assert_eq!(sent[2]["content"][0]["tool_use_id"], "t1");
}

#[tokio::test]
async fn signatures_of_gemini_go_back_with_their_calls() {
    let parts = json!([
        { "functionCall": { "name": "look", "args": { "at": 1 } }, "thoughtSignature": "SIG1" },
        { "functionCall": { "name": "look", "args": { "at": 2 } } },
    ]);
    let said = json!({ "candidates": [{ "content": { "parts": [{ "text": "So:", "thoughtSignature": "SIG0" }] } }] });
    let calls = json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] });
    let server = server([Answer::events().data(said).data(calls), Answer::says(Wire::Gemini, "Seen.")]).await;
    let ask = model(&server, Wire::Gemini).step();
    let reply = soon(ask.run(Request::new("Look."), &Context::new())).await.unwrap();
    assert_eq!(reply.tool_calls.len(), 2);
    let answers: Vec<_> = reply.tool_calls.iter().map(|call| answered(&call.id, "look")).collect();
    let mut messages = vec![Message::user("Look."), reply.into_message()];
    messages.extend(answers);
    soon(ask.run(Request::of(messages), &Context::new())).await.unwrap();
    let sent = &server.requests()[1].body["contents"];
    assert_eq!(
        sent[1]["parts"],
        json!([
            { "text": "So:", "thoughtSignature": "SIG0" },
            { "functionCall": { "name": "look", "args": { "at": 1 } }, "thoughtSignature": "SIG1" },
            { "functionCall": { "name": "look", "args": { "at": 2 } } },
        ])
    );
    assert_eq!(sent[2]["parts"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_thought_before_a_call_goes_back_to_who_thought_it_and_to_nobody_else() {
    let delta = |delta: Value| json!({ "choices": [{ "index": 0, "delta": delta }] });
    let call = json!({ "tool_calls": [{ "index": 0, "id": "c1", "function": { "name": "look", "arguments": "{}" } }] });
    let finish = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
    let answer =
        Answer::events().data(delta(json!({ "reasoning_content": "Hm." }))).data(delta(call)).data(finish).done();
    let server = server([answer]).await;
    let ask = model(&server, Wire::OpenAi).step();
    let reply = soon(ask.run(Request::new("Look."), &Context::new())).await.unwrap();
    let request = Request::of(vec![Message::user("Look."), reply.into_message(), answered("c1", "look")]);
    for wire in WIRES {
        server.answer(Answer::says(wire, "Seen."));
        soon(model(&server, wire).step().run(request.clone(), &Context::new())).await.unwrap();
        let sent = server.requests().pop().unwrap().body;
        assert_eq!(sent.to_string().contains("Hm."), wire == Wire::OpenAi, "{wire:?}: {sent}");
        assert!(!sent.to_string().contains("\"wire\""), "{wire:?}: {sent}");
    }
}

#[tokio::test]
async fn parallel_calls_of_the_same_id_are_as_many_as_were_made() {
    let piece = |index: u32, arguments: &str| {
        let function = json!({ "name": "look", "arguments": arguments });
        let call = json!({ "index": index, "id": "c1", "function": function });
        json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] })
    };
    let finish = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
    let pieces = [(0, "{\"at\":"), (0, "1}"), (1, "{\"at\":2}"), (1, ""), (2, "{\"at\""), (2, ":3}")];
    let answer = pieces.iter().fold(Answer::events(), |answer, (index, text)| answer.data(piece(*index, text)));
    let server = server([answer.data(finish).done()]).await;
    let reply = soon(model(&server, Wire::OpenAi).step().run(Request::new("Look."), &Context::new())).await.unwrap();
    let calls: Vec<_> = reply.tool_calls.iter().map(|call| (call.id.as_str(), call.arguments.as_str())).collect();
    assert_eq!(calls, [("c1", "{\"at\":1}"), ("call_1", "{\"at\":2}"), ("call_2", "{\"at\":3}")]);
}

#[tokio::test]
async fn a_large_call_of_a_tool_is_not_repeated_with_every_piece() {
    let call = |call: serde_json::Value| json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] });
    let first = call(json!({ "index": 0, "id": "c1", "function": { "name": "write", "arguments": "\"" } }));
    let piece = call(json!({ "index": 0, "function": { "arguments": "x".repeat(64) } }));
    let last = call(json!({ "index": 0, "function": { "arguments": "\"" } }));
    let finish = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
    let answer =
        Answer::events().data(first).repeat(format!("data: {piece}\n\n"), 4_096).data(last).data(finish).done();
    let server = server([answer]).await;
    let (heard, error) = events(&model(&server, Wire::OpenAi), "Write.").await;
    assert!(error.is_none(), "{error:?}");
    let pieces = heard.iter().filter_map(|event| match event {
        ModelEvent::ToolCall(delta) => Some(delta.arguments.len()),
        _ => None,
    });
    assert_eq!(pieces.sum::<usize>(), 64 * 4_096 + 2);
}

#[tokio::test]
async fn calls_of_one_turn_with_the_same_id_are_calls_of_their_own() {
    let piece = |index: usize, id: Option<&str>, arguments: &str| {
        let mut function = json!({ "arguments": arguments });
        let mut call = json!({ "index": index });
        if let Some(id) = id {
            (call["id"], function["name"]) = (json!(id), json!("look"));
        }
        call["function"] = function;
        json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] })
    };
    let finish = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
    let whole = [piece(0, Some("x"), "{\"at\":1}"), piece(1, Some("x"), "{\"at\":2}")];
    let in_pieces = [
        piece(0, Some("x"), ""),
        piece(0, None, "{\"at\""),
        piece(0, None, ":1}"),
        piece(1, Some("x"), ""),
        piece(1, None, "{\"at\":2}"),
    ];
    let repeated = [piece(0, Some("x"), "{\"at\""), piece(0, Some("x"), ":1}"), piece(1, Some("x"), "{\"at\":2}")];
    for pieces in [&whole[..], &in_pieces, &repeated] {
        let answer = pieces.iter().fold(Answer::events(), |answer, piece| answer.data(piece.clone()));
        let server = server([answer.data(finish.clone()).done()]).await;
        let reply = model(&server, Wire::OpenAi).step().run(Request::new("Look."), &Context::new()).await.unwrap();
        let calls: Vec<_> = reply.tool_calls.iter().map(|call| call.arguments.as_str()).collect();
        assert_eq!(calls, ["{\"at\":1}", "{\"at\":2}"]);
        assert_ne!(reply.tool_calls[0].id, reply.tool_calls[1].id);
    }
}

fn answered(call: &str, tool: &str) -> Message {
    serde_json::from_value(json!({ "role": "tool", "call_id": call, "name": tool, "text": "nothing there" })).unwrap()
}
