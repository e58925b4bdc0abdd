//! The settings of a breaker: invalid ones are rejected when it is built, and times can have any length.

use std::time::Duration;

use llmspell::{Breaker, Context, Step};

use super::{busy, echo};

#[test]
#[should_panic(expected = "without a probe a breaker would never close")]
fn zero_probes_are_rejected_at_once() {
    let _ = Breaker::builder().probes(0).build();
}

#[test]
#[should_panic(expected = "above 0 and at most 1, found 0")]
fn a_failure_rate_of_zero_is_rejected_at_once() {
    let _ = Breaker::builder().failure_rate(0.0).build();
}

#[tokio::test(start_paused = true)]
async fn times_can_have_any_length() {
    let breaker = Breaker::builder()
        .consecutive_failures(1)
        .open_for(Duration::MAX)
        .max_open(Duration::MAX)
        .window(Duration::MAX)
        .build();
    let step = echo().breaker(breaker.clone());
    step.run(Err(busy().with_retry_after(Duration::MAX)), &Context::new()).await.unwrap_err();
    assert!(step.run(Ok(1), &Context::new()).await.unwrap_err().retry_after() > Some(Duration::from_secs(1 << 31)));
}
