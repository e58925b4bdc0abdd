//! Conversations: values that callers keep, store, continue and trim.

use llmspell::agent::Conversation;
use llmspell::model::Message;
use llmspell::model::{Content, Image, Reply, ToolCall, ToolResult};
use proptest::prelude::*;
use serde_json::json;

fn call(id: usize) -> ToolCall {
    ToolCall::new(format!("c{id}"), "tool", json!({ "n": id }))
}

fn calls(ids: &[usize]) -> Message {
    let mut reply = Reply::new("");
    reply.reasoning = "Hm.".into();
    reply.tool_calls = ids.iter().map(|id| call(*id)).collect();
    reply.opaque = vec![json!({ "sig": 1 })];
    reply.into_message()
}

fn answer(id: usize, text: &str) -> Message {
    let answer = ToolResult::new(&call(id), text);
    Message::Tool(if id.is_multiple_of(2) { answer.failed() } else { answer })
}

#[test]
fn conversation_is_plain_data() {
    let mut talk = Conversation::new();
    assert!(talk.is_empty());
    talk.push(Message::system("Be kind.")).user("Hello.").push(calls(&[1, 2]));
    talk.push(answer(1, "one")).push(answer(2, "no")).push(Message::assistant("Done."));
    let image = Image::data("image/png", "AAAA");
    talk.image("And this?", image.clone()).image("", Image::Url("https://example.org/cat.png".into()));
    let stored = serde_json::to_value(&talk).unwrap();
    assert_eq!(serde_json::from_value::<Conversation>(stored.clone()).unwrap(), talk);
    // The stored form is an interface: conversations that were stored earlier must stay readable.
    assert_eq!(
        stored,
        json!([
            { "role": "system", "text": "Be kind." },
            { "role": "user", "content": [{ "text": "Hello." }] },
            { "role": "assistant", "reasoning": "Hm.", "opaque": [{ "sig": 1 }], "tool_calls": [
                { "id": "c1", "name": "tool", "arguments": "{\"n\":1}" },
                { "id": "c2", "name": "tool", "arguments": "{\"n\":2}" },
            ] },
            { "role": "tool", "call_id": "c1", "name": "tool", "text": "one" },
            { "role": "tool", "call_id": "c2", "name": "tool", "text": "no", "is_error": true },
            { "role": "assistant", "text": "Done." },
            { "role": "user", "content": [
                { "text": "And this?" },
                { "image": { "data": { "media_type": "image/png", "base64": "AAAA" } } },
            ] },
            { "role": "user", "content": [{ "text": "" }, { "image": { "url": "https://example.org/cat.png" } }] },
        ])
    );
    assert_eq!(format!("{image:?}"), "Data(image/png, 4 bytes of Base64)");
}

#[test]
fn clone_is_independent_after_a_change() {
    let mut talk = Conversation::from("One.");
    let copy = talk.clone();
    assert!(std::ptr::eq(talk.messages(), copy.messages()), "shared until then");
    talk.user("Two.");
    assert_eq!((talk.messages().len(), copy.messages().len()), (2, 1));
    assert_eq!(Conversation::from("x".to_owned()), Conversation::from(Message::user("x")));
}

#[test]
fn tokens_are_estimated_from_bytes_and_images() {
    let mut talk = Conversation::from("12345678");
    assert_eq!(talk.estimated_tokens(), 2);
    talk.image("1", Image::Url("https://example.org/".into()));
    assert_eq!(talk.estimated_tokens(), 2 + 1001);
}

#[test]
fn trim_removes_the_oldest_exchanges_first() {
    let mut talk = Conversation::from("q1");
    talk.push(calls(&[1])).push(answer(1, "a")).push(Message::assistant("r1"));
    talk.push(Message::system("Be brief.")).user("q2").push(Message::assistant("r2")).user("q3");
    let whole = talk.clone();
    // Unchanged if it fits.
    assert_eq!(talk.trim(u64::MAX), 0);
    assert!(std::ptr::eq(talk.messages(), whole.messages()));
    // With a custom counter that counts each message as one.
    assert_eq!(talk.clone().trim_by(8, |_| 1), 0);
    let mut one = whole.clone();
    assert_eq!(one.trim_by(7, |_| 1), 4, "a whole exchange, though one message would have done");
    assert_eq!(one.messages()[..2], [Message::system("Be brief."), Message::user("q2")]);
    let mut all = whole;
    assert_eq!(all.trim(0), 6);
    assert_eq!(all.messages(), [Message::system("Be brief."), Message::user("q3")]);
    assert_eq!(all.trim(0), 0);
    // Counters that overestimate or are inconsistent break nothing.
    assert_eq!(talk.clone().trim_by(10, |_| u64::MAX), 6);
    let count = std::cell::Cell::new(0);
    talk.trim_by(10, |_| count.replace(count.get() + 3));
    assert_eq!(Conversation::new().trim(0), 0);
    // Consecutive messages of the user belong to one exchange.
    let mut talk = Conversation::from("q1");
    talk.push(Message::assistant("r1")).user("q2").push(Message::system("Be kind.")).user("In one sentence, please.");
    assert_eq!(talk.trim(0), 2);
    assert_eq!(talk.messages().len(), 3);
}

/// Exchanges of any shape: user messages, turns with calls, an answer.
fn conversations() -> impl Strategy<Value = Conversation> {
    let exchange = (prop::collection::vec(0..4usize, 0..3), 0..200usize, any::<bool>(), any::<bool>());
    (any::<bool>(), prop::collection::vec(exchange, 0..8), any::<bool>()).prop_map(|(headless, exchanges, open)| {
        let mut talk = Conversation::new();
        let mut id = 0;
        if headless {
            talk.push(Message::assistant("Welcome."));
        }
        for (turns, length, has_system, answers) in exchanges {
            if has_system {
                talk.push(Message::system("A rule."));
            }
            talk.user("u".repeat(length));
            for number in turns {
                let ids: Vec<usize> = (id..id + number).collect();
                id += number;
                talk.push(calls(&ids));
                for id in ids {
                    talk.push(answer(id, &"t".repeat(length)));
                }
            }
            if answers {
                talk.push(Message::assistant("a".repeat(length)));
            }
        }
        if open {
            talk.user("And?");
        }
        talk
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trim_never_separates_calls_from_results(talk in conversations(), room in 0..400u64) {
        let (before, mut after) = (talk.clone(), talk);
        let forgotten = after.trim(room);
        let (before, kept) = (before.messages(), after.messages());
        prop_assert_eq!(before.len() - kept.len(), forgotten);

        // The kept messages are a subsequence of the original.
        let mut rest = before.iter();
        for message in kept {
            prop_assert!(rest.any(|other| other == message));
        }
        // System messages stay, and so does the last exchange.
        let is_system = |message: &&Message| matches!(message, Message::System { .. });
        prop_assert_eq!(before.iter().filter(is_system).count(), kept.iter().filter(is_system).count());
        let is_user = |message: &Message| matches!(message, Message::User { .. });
        // An exchange starts here: the message before it, ignoring system messages, is not the user's.
        let speaks = |at: &usize| {
            let mut earlier = before[..*at].iter().rev().filter(|message| !is_system(message));
            is_user(&before[*at]) && !earlier.next().is_some_and(is_user)
        };
        let last = (0..before.len()).rfind(speaks).unwrap_or(0);
        prop_assert!(kept.ends_with(&before[last..]));
        // Every call keeps its result, and every result its call.
        let made: Vec<_> = kept.iter().flat_map(Message::tool_calls).map(|call| call.id.clone()).collect();
        let answered: Vec<_> = kept
            .iter()
            .filter_map(|message| match message {
                Message::Tool(answer) => Some(answer.call_id.clone()),
                _ => None,
            })
            .collect();
        prop_assert_eq!(made, answered);
        // It fits, or nothing more could be removed.
        let rest: Vec<_> = kept.iter().filter(|message| !is_system(message)).collect();
        prop_assert!(after.estimated_tokens() <= room || rest.len() == before[last..].iter().filter(|m| !is_system(m)).count());
        // No more than necessary was removed: together with the last removed exchange it would not fit.
        if forgotten > 0 {
            prop_assert!(Conversation::from(before.to_vec()).estimated_tokens() > room);
        }
    }

    #[test]
    fn stored_conversation_round_trips(talk in conversations()) {
        let stored = serde_json::to_string(&talk).unwrap();
        prop_assert_eq!(serde_json::from_str::<Conversation>(&stored).unwrap(), talk);
    }
}

#[test]
fn message_text_excludes_images_and_calls() {
    let content = vec![Content::Text("a".into()), Content::Image(Image::Url("u".into())), Content::Text("b".into())];
    assert_eq!(Message::user_content(content).text(), "ab");
    assert_eq!(calls(&[1]).text(), "");
    assert_eq!((calls(&[1, 2]).tool_calls().len(), answer(1, "x").tool_calls().len()), (2, 0));
}
