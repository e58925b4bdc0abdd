//! Replies over the size limit.

use std::sync::atomic::{AtomicUsize, Ordering};

use llmspell::Retry;
use llmspell::model::LARGEST_REPLY;

use super::*;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn endless_reply_is_interrupted_and_not_retried() {
    let said = Arc::<AtomicUsize>::default();
    let sent = said.clone();
    let endless = ClosureModel(move |events: EventSender| {
        let sent = sent.clone();
        async move {
            // Text, reasoning and arguments count together.
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
    assert_eq!(error.message(), "the reply of `plays` is larger than 64 MiB");
    assert!(!error.is_transient() && error.hint().is_some_and(|hint| hint.contains("max_tokens")), "{error:?}");
    let class = error.downcast_ref::<ModelError>().unwrap().class;
    assert_eq!(class, ModelErrorClass::Protocol);
    // The event over the limit, and one in flight.
    assert!(said.load(Ordering::Relaxed) <= LARGEST_REPLY / MIB + 2);
}

#[tokio::test]
async fn reply_at_the_size_limit_is_complete() {
    let most = || std::iter::repeat_n(text(&"x".repeat(MIB)), LARGEST_REPLY / MIB);
    let reply = reply_of(most().chain([STOP])).await.unwrap();
    assert_eq!(reply.text.len(), LARGEST_REPLY);
    assert!(reply_of(most().chain([text("x"), STOP])).await.is_err());
}

#[tokio::test]
async fn endless_empty_calls_are_interrupted() {
    let model = ClosureModel(|events: EventSender| async move {
        for index in 0.. {
            events.send(ModelEvent::ToolCall(ToolCallDelta::more(index, ""))).await?;
        }
        Ok(())
    });
    let error = model.step().run(Request::new("?"), &Context::new()).await.unwrap_err();
    assert!(error.message().contains("64 MiB") && !error.is_transient(), "{error:?}");
}
