//! A step of a flow file: one kind, and modifiers.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::Short;
use super::agent::AgentDef;
use super::declared::DefaultsDef;
use super::expression::Expression;
use super::modifiers::{AdaptiveDef, BreakerDef, HedgeDef, RateDef, RetryDef, TimeoutDef};
use super::shorthand::Shorthand;
use crate::syntax::duration::DurationDef;
use crate::syntax::located::Located;
use crate::syntax::mapping::Mapping;
use crate::syntax::node::Node;

/// A step: exactly one of `tool`, `value`, `agent`, `concurrent`, `race`, `pipeline`, `each` and `repeat`, and its
/// modifiers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Step")]
pub(crate) struct StepDef {
    /// The name of the step. Later steps use its output as `steps.<id>`.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub(crate) id: Option<Located<String>>,

    /// The tool to call; `llmspell tools` lists them.
    pub(crate) tool: Option<Located<String>>,
    /// The arguments of the tool, with templates: `${{ inputs.question }}`.
    pub(crate) with: Option<Located<Mapping<Node>>>,

    /// A value, with templates.
    #[serde(default, deserialize_with = "present")]
    pub(crate) value: Option<Located<Node>>,

    /// An agent: a model that can call tools before it answers.
    pub(crate) agent: Option<Located<AgentDef>>,

    /// Steps that run at the same time. The output is a table with the output of each step under its id.
    pub(crate) concurrent: Option<Located<Vec<Located<StepDef>>>>,

    /// Steps that run at the same time. The first to succeed gives the output; the others are cancelled.
    pub(crate) race: Option<Located<Vec<Located<StepDef>>>>,
    /// The event that decides the race. The default is `success`.
    pub(crate) first: Option<Located<FirstDef>>,

    /// Steps that run one after another. With `from`, each item of a list passes through them, several at a time.
    pub(crate) pipeline: Option<Located<Vec<Located<StepDef>>>>,
    /// The list whose items go through the pipeline: a bare expression, such as `steps.pages`.
    pub(crate) from: Option<Located<Expression>>,

    /// The list whose items `do` processes: a bare expression, such as `inputs.urls`. Steps can use `item` and `index`.
    pub(crate) each: Option<Located<Expression>>,
    /// The work for each item: a step, or a list of steps.
    #[serde(rename = "do")]
    pub(crate) body: Option<Located<Short<StepsDef>>>,
    /// The reaction to a failed item of `each` or `pipeline`, or branch of `concurrent`. The default is `fail`.
    pub(crate) on_error: Option<Located<OnErrorDef>>,

    /// Steps that are repeated until an expression holds. They can use `index`, and `last`, the output of the last round.
    pub(crate) repeat: Option<Located<Vec<Located<StepDef>>>>,
    /// The condition that ends `repeat`: a bare expression, such as `steps.review.ok`.
    pub(crate) until: Option<Located<Expression>>,
    /// The maximum number of rounds of `repeat`.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max: Option<Located<u32>>,

    /// The condition under which the step runs: a bare expression, such as `inputs.lang == "en"`. If it does not hold,
    /// the output is null.
    pub(crate) when: Option<Located<Expression>>,
    /// The time limit of an attempt. A list sets one for each attempt.
    timeout: Option<Located<Short<TimeoutDef>>>,
    /// The time limit for all attempts and the delays between them.
    deadline: Option<Located<DurationDef>>,
    /// The errors that are retried, and the number of attempts. A number is short for `max`.
    retry: Option<Located<Short<RetryDef>>>,
    /// The fallback after all attempts have failed: a step, or several that are tried in order.
    fallback: Option<Located<Short<StepsDef>>>,
    /// The maximum number of calls of this step at a time. By default, only the number of records in flight limits them.
    /// A record that waits for its next attempt does not count. With `concurrent`, `each` and `pipeline`, the maximum
    /// number of branches or items of one record in flight.
    #[schemars(range(min = 1))]
    limit: Option<Located<u32>>,
    /// A limit that adapts to the responses of the server.
    adaptive: Option<Located<Short<AdaptiveDef>>>,
    /// The maximum number of calls and tokens per period.
    rate: Option<Located<Short<RateDef>>>,
    /// A circuit breaker: rejects calls for a time after too many failures.
    breaker: Option<Located<Short<BreakerDef>>>,
    /// Starts a second copy of slow calls. The first copy to succeed wins.
    hedge: Option<Located<Short<HedgeDef>>>,
    /// States that running the step twice for one record is harmless, whatever it calls. It allows `hedge`, and turns off
    /// the warning about `retry`.
    #[serde(default)]
    idempotent: bool,
}

impl StepDef {
    /// Returns the fallback steps.
    pub(crate) fn fallback_steps(&self) -> impl Iterator<Item = &[Located<StepDef>]> {
        self.fallback.iter().map(|fallbacks| fallbacks.value.0.0.as_slice())
    }

    /// Returns the lists of inner steps, including the fallbacks.
    pub(crate) fn inner(&self) -> Vec<&[Located<StepDef>]> {
        let lists = [&self.concurrent, &self.race, &self.pipeline, &self.repeat].into_iter().flatten();
        let lists = lists.map(|list| list.value.as_slice());
        lists.chain(self.body.iter().map(|body| body.value.0.0.as_slice())).chain(self.fallback_steps()).collect()
    }

    /// Returns the limit on branches or items, for the kinds where `limit` means that.
    pub(crate) fn limit_of_parts(&self) -> Option<usize> {
        let of_parts = self.concurrent.is_some() || self.each.is_some() || self.from.is_some();
        self.limit.as_ref().filter(|_| of_parts).map(|limit| limit.value as usize)
    }

    /// Returns the modifiers.
    pub(crate) fn modifiers(&self) -> Modifiers {
        Modifiers {
            timeout: self.timeout.clone(),
            deadline: self.deadline.clone(),
            retry: self.retry.clone(),
            fallback: self.fallback.clone(),
            limit: self.limit.clone().filter(|_| self.limit_of_parts().is_none()),
            adaptive: self.adaptive.clone(),
            rate: self.rate.clone(),
            breaker: self.breaker.clone(),
            hedge: self.hedge.clone(),
            idempotent: self.idempotent,
        }
    }
}

/// The modifiers of a step. They apply in a fixed order, whatever their order in the file. From the outside in: `when`,
/// `fallback`, `deadline`, `retry`, `hedge`, `breaker`, `rate`, `limit` or `adaptive`, `timeout`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modifiers {
    pub(crate) timeout: Option<Located<Short<TimeoutDef>>>,
    pub(crate) deadline: Option<Located<DurationDef>>,
    pub(crate) retry: Option<Located<Short<RetryDef>>>,
    pub(crate) fallback: Option<Located<Short<StepsDef>>>,
    pub(crate) limit: Option<Located<u32>>,
    pub(crate) adaptive: Option<Located<Short<AdaptiveDef>>>,
    pub(crate) rate: Option<Located<Short<RateDef>>>,
    pub(crate) breaker: Option<Located<Short<BreakerDef>>>,
    pub(crate) hedge: Option<Located<Short<HedgeDef>>>,
    /// Whether running the step twice for one record is harmless.
    pub(crate) idempotent: bool,
}

impl Modifiers {
    /// Fills in the defaults that the step does not override.
    pub(crate) fn fill(&mut self, defaults: &DefaultsDef) {
        self.timeout = self.timeout.take().or_else(|| defaults.timeout.clone());
        self.deadline = self.deadline.take().or_else(|| defaults.deadline.clone());
        self.retry = self.retry.take().or_else(|| defaults.retry.clone());
        if self.adaptive.is_none() {
            self.limit = self.limit.take().or_else(|| defaults.limit.clone());
        }
    }

    /// Returns the maximum number of attempts.
    pub(crate) fn attempts(&self) -> u32 {
        self.retry.as_ref().map_or(1, |retry| retry.value.0.max)
    }

    /// Returns the longest time limit of an attempt, if attempts have one.
    pub(crate) fn longest_attempt(&self) -> Option<Duration> {
        self.timeout.as_ref()?.value.0.attempt.iter().map(|time| time.0).max()
    }
}

/// Keeps a present null as a value, which an `Option` alone would read as absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Located<Node>>, D::Error> {
    Located::deserialize(deserializer).map(Some)
}

/// The event that decides a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FirstDef {
    /// The first step to succeed wins.
    Success,
    /// The first step to finish decides, even with an error.
    Completion,
    /// The first step with output wins, such as the first token of an agent.
    Output,
}

/// The reaction to a failed item or branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnErrorDef {
    /// The others are cancelled, and the step fails.
    Fail,
    /// The item or branch is left out, and the output is marked as partial.
    Skip,
}

/// A step, or a list of steps.
#[derive(Clone, Debug)]
pub(crate) struct StepsDef(pub(crate) Vec<Located<StepDef>>);

/// A single step as a list of one. It has no position of its own.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct OneStep(Box<StepDef>);

impl From<OneStep> for StepsDef {
    fn from(one: OneStep) -> Self {
        StepsDef(vec![Located { value: *one.0, at: 0..0 }])
    }
}

impl Shorthand for StepsDef {
    type Table = OneStep;
    type Item = Located<StepDef>;
    const EXPECTED: &'static str = "a step, or a list of steps";

    fn from_list(steps: Vec<Located<StepDef>>) -> Result<Self, String> {
        if steps.is_empty() { Err("a list of steps needs at least one".to_owned()) } else { Ok(StepsDef(steps)) }
    }

    fn short(generator: &mut SchemaGenerator) -> Vec<Schema> {
        let step = generator.subschema_for::<StepDef>();
        vec![json_schema!({ "type": "array", "items": step, "minItems": 1 })]
    }
}
