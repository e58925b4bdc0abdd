//! `slow`: simulates a slow and failing tool, for trying out a flow.

use std::time::Duration;

use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, Result, Tool};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct Slow {
    /// The value to return.
    #[serde(default)]
    value: Value,
    /// The duration of each call, in milliseconds.
    #[serde(default)]
    delay_ms: u32,
    /// The most that is added to the duration, in milliseconds, evenly distributed.
    #[serde(default)]
    jitter_ms: u32,
    /// The share of calls that fail with a transient error after their delay, from 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    failure_rate: f64,
    /// The share of calls that never finish, from 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    hang_rate: f64,
    /// The seed of the random numbers for jitter and failures.
    #[serde(default)]
    seed: u64,
}

/// Returns the tool.
pub(crate) fn slow() -> DynTool {
    Tool::new("slow", "Waits, then gives back its value; or fails or hangs, as often as told. For trials.", run).erase()
}

/// Like `llmspell_test::FakeTool`, but each call depends only on the seed, the record and the attempt. A run then has the
/// same failures in whatever order its calls start.
async fn run(slow: Slow, cx: Context) -> Result<Value> {
    for (name, rate) in [("failure_rate", slow.failure_rate), ("hang_rate", slow.hang_rate)] {
        if !(0.0..=1.0).contains(&rate) {
            return Err(Error::invalid(format!("`{name}` lies between 0 and 1, not at {rate}")));
        }
    }
    let (record, attempt) = (cx.item().unwrap_or(0) as u64, u64::from(cx.attempt()));
    // Generators with adjacent seeds start alike; the multiplier separates them.
    let seed = (slow.seed ^ record.rotate_left(32) ^ attempt.rotate_left(48)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut dice = fastrand::Rng::with_seed(seed);
    let jitter = Duration::from_millis(slow.jitter_ms.into()).mul_f64(dice.f64());
    let (hangs, fails) = (dice.f64(), dice.f64());
    if hangs < slow.hang_rate {
        std::future::pending::<()>().await;
    }
    let delay = Duration::from_millis(slow.delay_ms.into()) + jitter;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if fails < slow.failure_rate {
        return Err(Error::failed("simulated failure").transient());
    }
    Ok(slow.value)
}

#[cfg(test)]
mod tests {
    use llmspell::Step;

    use super::*;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn it_takes_its_time_and_gives_back_its_value() {
        let began = tokio::time::Instant::now();
        let out = slow().run(json!({ "value": [1], "delay_ms": 300 }), &Context::new()).await.unwrap();
        assert_eq!(out, json!([1]));
        assert_eq!(began.elapsed().as_millis(), 300);
    }

    #[tokio::test]
    async fn the_same_records_fail_in_every_run() {
        let failed = || async {
            let calls = (0..200).map(|_| json!({ "failure_rate": 0.3, "seed": 7 }));
            let outcomes = slow().stream(calls, &Context::new()).ordered().collect().await;
            outcomes.iter().map(|outcome| outcome.is_ok()).collect::<Vec<_>>()
        };
        let first = failed().await;
        assert_eq!(first, failed().await);
        let failures = first.iter().filter(|ok| !**ok).count();
        assert!((40..80).contains(&failures), "{failures} of 200");
    }

    #[tokio::test]
    async fn a_share_beyond_1_is_refused() {
        let error = slow().run(json!({ "failure_rate": 2 }), &Context::new()).await.unwrap_err();
        assert_eq!(error.kind(), llmspell::ErrorKind::Invalid);
    }
}
