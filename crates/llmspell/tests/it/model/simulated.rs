//! Simulated models: latencies, failures, seeds.

use llmspell::model::{Model, ModelError, ModelErrorClass, Request};
use llmspell::{Context, Retry, Step};
use llmspell_test::SimulatedModel;
use tokio::time::Instant;

use crate::probe::ms;
use crate::wait::completes;

/// The results of consecutive requests: how long each took, and its error class if it failed.
async fn outcomes(model: SimulatedModel, requests: usize) -> Vec<(u128, Option<ModelErrorClass>)> {
    let ask = model.step().timeout(ms(60_000));
    let mut outcomes = Vec::new();
    for _ in 0..requests {
        let started = Instant::now();
        let error = ask.run(Request::new("?"), &Context::new()).await.err();
        let class = error.map(|error| error.downcast_ref::<ModelError>().map_or(ModelErrorClass::Timeout, |e| e.class));
        outcomes.push((started.elapsed().as_millis(), class));
    }
    outcomes
}

fn unreliable(seed: u64) -> SimulatedModel {
    SimulatedModel::new("sim")
        .first_token(ms(300), 0.5)
        .tokens_per_second(100.0)
        .token_spread(0.3)
        .rate_limited(0.1, ms(700))
        .failing(0.1)
        .truncated(0.1)
        .hanging(0.05)
        .seed(seed)
}

#[tokio::test(start_paused = true)]
async fn seed_determines_the_run() {
    let first = outcomes(unreliable(1), 200).await;
    assert_eq!(first, outcomes(unreliable(1), 200).await);
    assert_ne!(first, outcomes(unreliable(2), 200).await);
}

#[tokio::test(start_paused = true)]
async fn failures_occur_at_their_rates() {
    let outcomes = outcomes(unreliable(3), 1000).await;
    let share = |class: Option<ModelErrorClass>| outcomes.iter().filter(|(_, fate)| *fate == class).count();
    for (class, expected) in [
        (ModelErrorClass::RateLimited, 100),
        (ModelErrorClass::Server, 100),
        (ModelErrorClass::Truncated, 100),
        (ModelErrorClass::Timeout, 50),
    ] {
        let seen = share(Some(class));
        assert!(seen.abs_diff(expected) < 40, "{class}: {seen}");
    }
    assert!(share(None).abs_diff(650) < 60);
}

#[tokio::test(start_paused = true)]
async fn latencies_spread_around_their_median() {
    let one_token = SimulatedModel::new("sim").first_token(ms(300), 0.5).reply_tokens(1);
    let mut times: Vec<_> = outcomes(one_token, 1001).await.into_iter().map(|(took, _)| took).collect();
    times.sort_unstable();
    assert!((280..320).contains(&times[500]), "median {}", times[500]);
    // exp(0.5 × 2.33) times the median.
    assert!((800..1200).contains(&times[990]), "one in a hundred: {}", times[990]);
    // Without a spread, always the median: one time to the first token, and nineteen gaps.
    let steady = SimulatedModel::new("sim").first_token(ms(300), 0.0).tokens_per_second(100.0);
    assert!(outcomes(steady, 3).await.iter().all(|(took, _)| (490..=510).contains(took)));
}

#[tokio::test(start_paused = true)]
async fn rate_limit_error_has_retry_after() {
    let model = SimulatedModel::new("sim").rate_limited(1.0, ms(700));
    let error = model.clone().step().run(Request::new("?"), &Context::new()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(ms(700)));
    assert_eq!(error.downcast_ref::<ModelError>().unwrap().status, Some(429));
    let started = Instant::now();
    let retried = model.clone().step().retry(Retry::immediately().max_attempts(3));
    completes(retried.run(Request::new("?"), &Context::new())).await.unwrap_err();
    assert!(started.elapsed() >= ms(1400));
    assert_eq!(model.requests(), 4);
}

#[tokio::test(start_paused = true)]
async fn reply_has_the_given_text_and_usage() {
    let cx = Context::new();
    let reply =
        SimulatedModel::new("sim").text("all is well").step().run(Request::new("how is it"), &cx).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.usage.input_tokens, reply.usage.output_tokens), ("all is well", 3, 3));
    assert_eq!(reply.request_id.as_deref(), Some("simulated-0"));
    let silent = SimulatedModel::new("sim").reply_tokens(0);
    assert_eq!(silent.clone().step().run(Request::new("?"), &cx).await.unwrap().text, "");
    // A reply without tokens can also be truncated or hang.
    let error = silent.clone().truncated(1.0).step().run(Request::new("?"), &cx).await.unwrap_err();
    assert_eq!(error.downcast_ref::<ModelError>().unwrap().class, ModelErrorClass::Truncated);
    assert!(completes(silent.hanging(1.0).step().timeout(ms(50)).run(Request::new("?"), &cx)).await.is_err());
}
