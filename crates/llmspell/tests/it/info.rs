//! The cost of `Step::info` is linear in the number of steps, however they nest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llmspell::pattern::pipeline::Pipeline;
use llmspell::step::StepInfo;
use llmspell::{Breaker, Budget, Context, Error, Limit, Rate, Result, Retry, Step, join, pipeline, race, value};

type Boxed = llmspell::step::BoxStep<u32, u32>;

/// A step that counts the calls of its `info`.
#[derive(Clone, Default)]
struct InfoCounter(Arc<AtomicUsize>);

impl InfoCounter {
    fn take_count(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Step for InfoCounter {
    type In = u32;
    type Out = u32;

    async fn run(&self, _: u32, _: &Context) -> Result<u32> {
        Err(Error::failed("no"))
    }

    fn info(&self) -> StepInfo<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        StepInfo::default().idempotent()
    }
}

const DEPTH: usize = 16;

fn nested(inner: InfoCounter, around: impl Fn(Boxed) -> Boxed) -> Boxed {
    (0..DEPTH).fold(inner.boxed(), |step, _| around(step))
}

fn of_stages(inner: Boxed) -> Boxed {
    let stages: [(Arc<str>, Boxed, Limit); 2] =
        [("a".into(), inner, Limit::new(2)), ("b".into(), value(1u32).boxed(), Limit::unlimited())];
    Pipeline::of_stages("p", stages).boxed()
}

#[test]
fn info_is_called_once_per_step() {
    type Around = fn(Boxed) -> Boxed;
    let combinators: [(&str, Around); 13] = [
        ("fallback", |step| step.fallback(value(1u32)).boxed()),
        ("a fallback's other", |step| value(1u32).fallback(step).boxed()),
        ("pipeline", |step| pipeline("p").stage("a", step).limit(2).stage("b", value(1u32)).boxed()),
        ("stages", of_stages),
        ("race", |step| race(vec![step, value(1u32).boxed()]).boxed()),
        ("group", |step| join((step, value(1u32))).map(|_: (u32, u32)| 1u32).boxed()),
        ("then", |step| step.then(value(1u32)).boxed()),
        ("retry", |step| step.retry(Retry::immediately()).boxed()),
        ("breaker", |step| step.breaker(Breaker::on_denied()).boxed()),
        ("limit", |step| step.limit(Limit::new(2)).boxed()),
        ("rate", |step| step.rate(Rate::per_second(1000)).boxed()),
        ("budget", |step| step.budget(Budget::tokens(1000)).boxed()),
        ("timeout", |step| step.timeout(Duration::from_secs(1)).with_outcome().map(|_| 1u32).named("n").boxed()),
    ];
    for (name, around) in combinators {
        let counter = InfoCounter::default();
        let step = nested(counter.clone(), around);
        counter.take_count();
        assert!(step.info().default_in_flight > 0);
        assert_eq!(counter.take_count(), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn nested_fallbacks_call_info_at_most_twice_per_level() {
    let counter = InfoCounter::default();
    let step = nested(counter.clone(), |step| {
        race(vec![step.limit(Limit::new(1)).boxed(), InfoCounter::default().boxed()])
            .fallback(InfoCounter::default())
            .boxed()
    });
    counter.take_count();
    assert!(step.run(0, &Context::recording()).await.is_err());
    // A race reads the names of its contenders, and a limit that of its step.
    assert!(counter.take_count() <= 2 * DEPTH);
}
