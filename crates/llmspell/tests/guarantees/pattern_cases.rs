//! One step inside each pattern, and as the tool of an agent.

use std::time::Duration;

use llmspell::step::BoxStep;
use llmspell::{Context, Error, Hedge, Limit, Retry, Step, all, join, pipeline, race, settle, step};

use crate::agents::agent;
use crate::probe::ms;

/// A pattern around a step. Its output is its input.
pub struct PatternCase {
    pub name: &'static str,
    pub step: BoxStep<usize, usize>,
    /// Whether everything runs in the task of the caller.
    pub in_place: bool,
}

/// Returns every pattern around steps that `inner` makes.
pub fn every_pattern(inner: impl Fn() -> BoxStep<usize, usize>) -> Vec<PatternCase> {
    let case = |name, step, in_place| PatternCase { name, step, in_place };
    vec![
        case("no pattern", inner(), true),
        case("join", join((inner(), inner())).map(|outs| outs.0).boxed(), true),
        case("join, one at a time", join((inner(), inner())).limit(1).map(|outs| outs.0).boxed(), true),
        case("race", race((inner(), inner())).boxed(), true),
        case("race of many", race(vec![inner(), inner(), inner()]).first_complete().boxed(), true),
        case("first output", race((inner(), inner())).first_output().boxed(), true),
        case("hedge", inner().idempotent().hedge(Hedge::after(ms(1)).max_share(1.0)).boxed(), true),
        case("retry", inner().retry(Retry::exponential()).boxed(), true),
        case("fallback", fails().fallback(inner()).boxed(), true),
        case("timeout", inner().timeout(HOUR).deadline(HOUR).boxed(), true),
        case("idle timeout", inner().idle_timeout(HOUR, HOUR).boxed(), true),
        case("limit", inner().limit(Limit::new(2)).boxed(), true),
        case("pipeline", pipeline("p").stage("a", inner()).limit(2).stage("b", inner()).limit(1).boxed(), true),
        case("all", all([inner(), inner(), inner()]).map(|outs| outs[0]).boxed(), false),
        case(
            "settle",
            settle(vec![inner(), inner()]).then_fn(|mut outs, _| async move { outs.remove(0).result }).boxed(),
            false,
        ),
        case("spawned", inner().spawned().boxed(), false),
        case("stream", streamed(inner()), false),
        case("agent", agent(inner()), false),
        case(
            "all of it",
            streamed(
                all([join((inner(), race((inner(), inner())))).map(|outs| outs.0).spawned()])
                    .map(|outs| outs[0])
                    .boxed(),
            ),
            false,
        ),
    ]
}

const HOUR: Duration = ms(3_600_000);

fn fails() -> BoxStep<usize, usize> {
    step(|_: usize, _| async move { Err(Error::failed("down")) }).boxed()
}

/// Returns a step that is itself the consumer of a stream.
fn streamed(inner: BoxStep<usize, usize>) -> BoxStep<usize, usize> {
    let consume = move |n: usize, cx: Context| {
        let inner = inner.clone();
        async move {
            let outs = inner.stream([n, n], &cx).limit(2).ordered().try_collect().await?;
            Ok(outs[0])
        }
    };
    step(consume).boxed()
}
