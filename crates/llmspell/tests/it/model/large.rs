//! Replies that are larger than any should be.

use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::Retry;
use llmspell::model::LARGEST_REPLY;

use super::*;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_reply_without_an_end_is_broken_off_and_not_asked_for_again() {
    let said = Arc::<AtomicUsize>::default();
    let sent = said.clone();
    let endless = Plays(move |events: EventSender| {
        let sent = sent.clone();
        async move {
            // Text, thoughts and arguments count together.
            for number in 0.. {
                sent.fetch_add(1, Ordering::Relaxed);
                let words = "x".repeat(MIB);
                let event = match number % 3 {
                    0 => ModelEvent::Text(words),
                    1 => ModelEvent::Reasoning(words),
                    _ => piece(number, None, Some("t"), &words),
                };
                events.send(event).await?;
            }
            Ok(())
        }
    });
    let error = endless
        .step()
        .retry(Retry::immediately().max_attempts(3))
        .run(Request::new("?"), &Context::new())
        .await
        .unwrap_err();
    assert_eq!(error.message(), "the reply of plays is larger than 64 MiB, and was broken off");
    assert!(!error.is_transient() && error.hint().is_some_and(|hint| hint.contains("max_tokens")), "{error:?}");
    let class = error.downcast_ref::<ModelError>().unwrap().class;
    assert_eq!(class, ModelErrorClass::Protocol);
    // One that was too much, and one on its way.
    assert!(said.load(Ordering::Relaxed) <= LARGEST_REPLY / MIB + 2);
}

#[tokio::test]
async fn the_largest_reply_is_whole() {
    let most = || std::iter::repeat_n(text(&"x".repeat(MIB)), LARGEST_REPLY / MIB);
    let reply = reply_of(most().chain([STOP])).await.unwrap();
    assert_eq!(reply.text.len(), LARGEST_REPLY);
    assert!(reply_of(most().chain([text("x"), STOP])).await.is_err());
}

#[tokio::test]
async fn calls_that_say_nothing_come_to_an_end_too() {
    let model = Plays(|events: EventSender| async move {
        for index in 0.. {
            events.send(ModelEvent::ToolCall(ToolCallDelta::more(index, ""))).await?;
        }
        Ok(())
    });
    let error = model.step().run(Request::new("?"), &Context::new()).await.unwrap_err();
    assert!(error.message().contains("64 MiB") && !error.is_transient(), "{error:?}");
}
