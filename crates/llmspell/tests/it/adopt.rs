//! Outcomes that become part of other work: of streams within steps, and of earlier runs.

use llmspell::{Budget, Context, Error, ErrorKind, Outcome, Quality, Retry, Step, Usage, step, value};

/// Spends, fails the first time, and falls back for odd numbers.
fn part() -> impl Step<In = u32, Out = u32> {
    let flaky = step(|n: u32, cx: Context| async move {
        cx.record_usage(Usage::new(10, 0));
        match (n % 2, cx.attempt()) {
            (0, 1) => Err(Error::failed("first").transient()),
            (0, _) => Ok(n),
            _ => Err(Error::failed("odd")),
        }
    });
    flaky.retry(Retry::immediately().max_attempts(2)).fallback(value(100_u32))
}

fn all() -> impl Step<In = u32, Out = u32> {
    let part = part().boxed();
    step(move |most: u32, cx: Context| {
        let mut parts = part.clone().stream(0..most, &cx).limit(1);
        async move {
            let mut sum = 0;
            while let Some(outcome) = parts.next().await {
                sum += cx.merge_outcome(outcome)?;
            }
            Ok(sum)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_stream_within_a_step_tells_its_story_once() {
    let budget = Budget::tokens(1_000);
    let outcome = all().budget(budget.clone()).with_outcome().run(2, &Context::new()).await.unwrap();
    assert_eq!((outcome.result.unwrap(), outcome.quality), (100, Quality::Fallback));
    // 0 took two attempts, 1 was replaced at once.
    assert_eq!((outcome.provenance.retries, outcome.causes.len()), (1, 2));
    assert_eq!(outcome.provenance.choices.len(), 1);
    assert_eq!((outcome.provenance.usage().tokens(), budget.spent().tokens()), (30, 30));
}

#[tokio::test(start_paused = true)]
async fn an_error_is_counted_with_its_attempts_once() {
    let failing = step(|(), _| async move { Err::<(), _>(Error::failed("no").transient()) });
    let failing = failing.retry(Retry::immediately().max_attempts(3)).with_outcome().boxed();
    let handed_on = step(move |(), cx: Context| {
        let failing = failing.clone();
        async move { cx.merge_outcome(failing.run((), &cx).await?) }
    });
    let outcome = handed_on.with_outcome().run((), &Context::new()).await.unwrap();
    assert_eq!((outcome.provenance.retries, outcome.result.unwrap_err().attempts()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_replayed_is_part_of_the_outcome_and_billed_to_nobody() {
    let before = all().with_outcome().run(2, &Context::new()).await.unwrap();
    let told = (before.provenance.clone(), before.quality, before.causes.len());
    let replayed = step(move |(), cx: Context| {
        let Outcome { result, quality, causes, provenance, .. } = before.clone();
        async move { cx.restore_outcome(Outcome::restored(result, quality, causes, provenance)) }
    });
    let (budget, cx) = (Budget::tokens(5), Context::recording());
    let named = replayed.named("replayed").budget(budget.clone()).with_outcome();
    let outcome = named.run((), &cx).await.unwrap();
    assert_eq!((outcome.provenance, outcome.quality, outcome.causes.len()), told);
    assert_eq!(outcome.result.unwrap(), 100);
    assert!(budget.spent().is_zero());
    assert!(cx.report().usage.is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_replayed_failure_fails() {
    let replayed = step(|(), cx: Context| async move {
        let failed = Err::<(), _>(Error::new(ErrorKind::Denied, "no"));
        cx.restore_outcome(Outcome::restored(failed, Quality::Full, vec![], Default::default()))
    });
    assert_eq!(replayed.run((), &Context::new()).await.unwrap_err().kind(), ErrorKind::Denied);
}
