//! The usage that interrupted model calls are charged with.

use llmspell::model::{Image, Message};
use llmspell::{Budget, Rate};
use proptest::prelude::*;

use super::*;

/// Emits eight words of eight bytes, one every 100 ms, and then its usage.
fn slow() -> impl Model + Clone {
    #[derive(Clone)]
    struct Slow;

    impl Model for Slow {
        fn name(&self) -> &str {
            "slow"
        }

        fn stream(&self, _: Request, _: &Context) -> ModelStream {
            ModelStream::produce(async |events: EventSender| {
                for _ in 0..8 {
                    sleep(ms(100)).await;
                    events.send(text("so it is")).await?;
                }
                events.send(ModelEvent::Usage(Usage::new(100, 17))).await?;
                events.send(STOP).await
            })
        }
    }

    Slow
}

/// A prompt of forty bytes.
fn request() -> Request {
    Request::new("forty bytes of words that say not much..")
}

#[tokio::test(start_paused = true)]
async fn interrupted_reply_is_charged_for_output_so_far() {
    let step = slow().step().prices(Prices::per_million(1e6, 2e6));
    let whole = step.clone().with_outcome().run(request(), &Context::new()).await.unwrap();
    assert_eq!(whole.provenance.usage(), Usage::new(100, 17).with_cost(134.0), "what it has said itself");

    let cut = step.clone().timeout(ms(350)).with_outcome().run(request(), &Context::new()).await.unwrap();
    assert_eq!(cut.result.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(cut.provenance.usage(), Usage::new(10, 6).with_cost(22.0), "three words");

    let silent = step.timeout(ms(50)).with_outcome().run(request(), &Context::new()).await.unwrap();
    assert!(silent.provenance.usage().is_zero(), "the request may not have started");
}

#[tokio::test(start_paused = true)]
async fn loser_of_a_race_is_charged_for_output_so_far() {
    let quick = ScriptedModel::new("quick").says("Paris.").delay(ms(250));
    let contest = race((quick.step().map(|_| ()), slow().step().map(|_| ()))).with_outcome();
    let outcome = contest.run(request(), &Context::new()).await.unwrap();
    let usage = outcome.provenance.usage();
    assert!(usage.output_tokens >= 4 && usage.input_tokens >= 10, "two words of the loser: {usage:?}");
}

#[tokio::test(start_paused = true)]
async fn budget_ends_a_stream_of_interrupted_replies() {
    let step = slow().step().timeout(ms(350));
    let mut stream = step.stream((0..100).map(|_| request()), &Context::new()).limit(2).budget(Budget::tokens(60));
    let mut outcomes = 0;
    while stream.next().await.is_some() {
        outcomes += 1;
    }
    assert!(stream.stopped().is_some() && (3..=4).contains(&outcomes), "16 tokens each: {outcomes}");
}

#[tokio::test(start_paused = true)]
async fn token_rate_delays_first_calls_with_known_estimates() {
    let rate = Rate::builder().tokens_per_minute(600).burst(ms(6000)).build();
    let rate = rate.estimate_with(|request: &Request| request.estimated_tokens() + 20);
    let began = Instant::now();
    let ask = slow().step().rate(rate);
    let outcomes = ask.stream((0..4).map(|_| request()), &Context::new()).limit(4).collect().await;
    assert!(outcomes.iter().all(|outcome| outcome.is_ok()), "{outcomes:?}");
    // Sixty per burst, which are two calls of thirty; all of them together would take 800 ms.
    assert!(began.elapsed() >= ms(1600), "{:?}", began.elapsed());
}

#[test]
fn estimate_excludes_images_and_includes_tools() {
    let picture = Image::data("image/png", "A".repeat(100_000));
    let content = vec![llmspell::model::Content::Text("12345678".into()), llmspell::model::Content::Image(picture)];
    let request = Request::of(vec![Message::user_content(content)]);
    assert_eq!(request.estimated_tokens(), 2);
    let tool =
        llmspell::tool::DynTool::from_schema("add", "Adds.", json!({ "type": "object" }), llmspell::value(json!(3)));
    let spec = tool.spec().clone();
    let bytes = 8 + serde_json::to_string(&spec).unwrap().len() as u64;
    assert_eq!(request.with_tools(vec![Arc::new(spec)]).estimated_tokens(), bytes.div_ceil(4));
}

proptest! {
    /// A longer text has a higher estimate.
    #[test]
    fn estimate_grows_with_the_text(one in ".{0,200}", more in ".{0,200}") {
        let (short, long) = (Request::new(one.clone()), Request::new(format!("{one}{more}")));
        prop_assert!(short.estimated_tokens() <= long.estimated_tokens());
        prop_assert_eq!(short.estimated_tokens(), (one.len() as u64).div_ceil(4));
    }
}
