//! One step inside of each pattern, and as the tool of an agent.

use std::time::Duration;

use llmspell::{BoxStep, Context, Error, Hedge, Limit, Retry, Step, all, join, pipeline, race, settle, step};

use crate::agents::agent;
use crate::probe::ms;

/// A pattern around a step; its output is its input.
pub struct Nest {
    pub name: &'static str,
    pub step: BoxStep<usize, usize>,
    /// Whether all of it runs in the task of its caller.
    pub in_place: bool,
}

/// Every pattern around steps that `inner` makes.
pub fn every_pattern(inner: impl Fn() -> BoxStep<usize, usize>) -> Vec<Nest> {
    let nest = |name, step, in_place| Nest { name, step, in_place };
    vec![
        nest("no pattern", inner(), true),
        nest("join", join((inner(), inner())).map(|outs| outs.0).boxed(), true),
        nest("join, one at a time", join((inner(), inner())).limit(1).map(|outs| outs.0).boxed(), true),
        nest("race", race((inner(), inner())).boxed(), true),
        nest("race of many", race(vec![inner(), inner(), inner()]).first_complete().boxed(), true),
        nest("first output", race((inner(), inner())).first_output().boxed(), true),
        nest("hedge", inner().idempotent().hedge(Hedge::after(ms(1)).max_share(1.0)).boxed(), true),
        nest("retry", inner().retry(Retry::exponential()).boxed(), true),
        nest("fallback", fails().fallback(inner()).boxed(), true),
        nest("timeout", inner().timeout(HOUR).deadline(HOUR).boxed(), true),
        nest("idle timeout", inner().idle_timeout(HOUR, HOUR).boxed(), true),
        nest("limit", inner().limit(Limit::new(2)).boxed(), true),
        nest("pipeline", pipeline("p").stage("a", inner()).limit(2).stage("b", inner()).limit(1).boxed(), true),
        nest("all", all([inner(), inner(), inner()]).map(|outs| outs[0]).boxed(), false),
        nest(
            "settle",
            settle(vec![inner(), inner()]).then_fn(|mut outs, _| async move { outs.remove(0).result }).boxed(),
            false,
        ),
        nest("spawned", inner().spawned().boxed(), false),
        nest("stream", streamed(inner()), false),
        nest("agent", agent(inner()), false),
        nest(
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

/// A step that is itself the consumer of a stream.
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
