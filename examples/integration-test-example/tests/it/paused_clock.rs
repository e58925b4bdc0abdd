//! A paused clock: timeouts, retries and deadlines are tested to the millisecond, and take no time.
//!
//! Copy: `#[tokio::test(start_paused = true)]`. Whenever everything waits, the clock jumps to the next timer; nothing
//! else moves it. So assert on `tokio::time::Instant`, exactly, and never on the time of the machine.

use std::time::Duration;

use integration_test_example::{DEADLINE, MODEL_TIMEOUT, SHOP_TIMEOUT, desk};
use llmspell::agent::Unfinished;
use llmspell::{Context, Step};
use llmspell_test::FakeTool;
use llmspell_test::ScriptedModel;
use serde_json::json;
use tokio::time::Instant;

use crate::shop::shop;

#[tokio::test(start_paused = true)]
async fn a_model_that_hangs_is_asked_again_after_30_seconds() {
    let model = ScriptedModel::new("scripted").hangs().says("Here I am.");
    let began = Instant::now();
    let reply = desk(model, shop()).unwrap().run("Hello?".into(), &Context::new()).await.unwrap();

    assert_eq!(reply.text, "Here I am.");
    // The timeout, and a wait of up to 100 ms before the second attempt.
    let took = began.elapsed();
    assert!(took >= MODEL_TIMEOUT && took <= MODEL_TIMEOUT + Duration::from_millis(101), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn deadline_limits_the_whole_conversation() {
    // Eight turns of 25 s each would take 200 s.
    let slow = ScriptedModel::new("scripted").delay(Duration::from_secs(25));
    let turns = (0..8).fold(slow, |model, turn| model.then_calls("order", json!({ "order": format!("A-{turn}") })));
    let began = Instant::now();
    let error = desk(turns, shop()).unwrap().run("Find it!".into(), &Context::new()).await.unwrap_err();

    assert_eq!(began.elapsed(), DEADLINE);
    assert!(format!("{error:#}").contains("deadline"), "{error:#}");
    // The results of paid work are kept.
    let unfinished = error.downcast_ref::<Unfinished>().unwrap();
    assert_eq!((unfinished.turns, unfinished.tool_calls), (5, 4));
}

#[tokio::test(start_paused = true)]
async fn a_slow_shop_is_given_up_before_the_customer_gives_up() {
    let mut shop = shop();
    shop.refunds =
        FakeTool::new("bank").delay(SHOP_TIMEOUT * 2).then_fn(|_, _| async { Ok(json!("too late")) }).boxed();
    let model = ScriptedModel::new("scripted")
        .calls("refund", json!({ "order": "A-17", "amount": 100 }))
        .says("The bank does not answer.");
    let began = Instant::now();
    desk(model.clone(), shop).unwrap().run("My money!".into(), &Context::new()).await.unwrap();

    assert_eq!(began.elapsed(), SHOP_TIMEOUT);
    let result_text = model.requests()[1].last_text();
    assert!(result_text.contains("timed out after 5 s"), "{result_text}");
}
