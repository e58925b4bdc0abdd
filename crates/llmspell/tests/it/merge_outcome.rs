//! Outcomes merged into other work: those of nested streams, and those of earlier runs.

use llmspell::observe::{Quality, Usage};
use llmspell::{Budget, Context, Error, ErrorKind, Outcome, Retry, Step, step, value};

/// Records usage, fails at its first attempt, and falls back for odd numbers.
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
async fn nested_stream_is_counted_once() {
    let budget = Budget::tokens(1_000);
    let outcome = all().budget(budget.clone()).with_outcome().run(2, &Context::new()).await.unwrap();
    assert_eq!((outcome.result.unwrap(), outcome.quality), (100, Quality::Fallback));
    // Input 0 took two attempts, input 1 fell back at once.
    assert_eq!((outcome.provenance.retries, outcome.causes.len()), (1, 2));
    assert_eq!(outcome.provenance.choices.len(), 1);
    assert_eq!((outcome.provenance.usage().tokens(), budget.spent().tokens()), (30, 30));
}

#[tokio::test(start_paused = true)]
async fn attempts_of_an_error_are_counted_once() {
    let failing = step(|(), _| async move { Err::<(), _>(Error::failed("no").transient()) });
    let failing = failing.retry(Retry::immediately().max_attempts(3)).with_outcome().boxed();
    let passing_on = step(move |(), cx: Context| {
        let failing = failing.clone();
        async move { cx.merge_outcome(failing.run((), &cx).await?) }
    });
    let outcome = passing_on.with_outcome().run((), &Context::new()).await.unwrap();
    assert_eq!((outcome.provenance.retries, outcome.result.unwrap_err().attempts()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn restored_outcome_counts_but_is_not_charged() {
    let before = all().with_outcome().run(2, &Context::new()).await.unwrap();
    let expected = (before.provenance.clone(), before.quality, before.causes.len());
    let restored = step(move |(), cx: Context| {
        let Outcome { result, quality, causes, provenance, .. } = before.clone();
        async move { cx.restore_outcome(Outcome::restored(result, quality, causes, provenance)) }
    });
    let (budget, cx) = (Budget::tokens(5), Context::recording());
    let named = restored.named("replayed").budget(budget.clone()).with_outcome();
    let outcome = named.run((), &cx).await.unwrap();
    assert_eq!((outcome.provenance, outcome.quality, outcome.causes.len()), expected);
    assert_eq!(outcome.result.unwrap(), 100);
    assert!(budget.spent().is_zero());
    assert!(cx.report().usage.is_zero());
}

#[tokio::test(start_paused = true)]
async fn restored_failure_fails() {
    let restored = step(|(), cx: Context| async move {
        let failed = Err::<(), _>(Error::new(ErrorKind::Denied, "no"));
        cx.restore_outcome(Outcome::restored(failed, Quality::Full, vec![], Default::default()))
    });
    assert_eq!(restored.run((), &Context::new()).await.unwrap_err().kind(), ErrorKind::Denied);
}
