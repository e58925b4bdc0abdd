//! A step of a flow file: one kind, and modifiers.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::Short;
use super::agent::AgentDef;
use super::expression::Expression;
use super::modifiers::{AdaptiveDef, BreakerDef, HedgeDef, Modifiers, RateDef, RetryDef, TimeoutDef};
use super::shorthand::Shorthand;
use crate::syntax::duration::Span;
use crate::syntax::entries::Entries;
use crate::syntax::located::Located;
use crate::syntax::node::Node;

/// A step: exactly one of `tool`, `value`, `agent`, `concurrent`, `race`, `pipeline`, `each` and `repeat`, and how it
/// is run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Step")]
pub(crate) struct StepDef {
    /// The name of the step; later steps see its output as `steps.<id>`.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub(crate) id: Option<Located<String>>,

    /// The tool to call; `llmspell tools` lists them.
    pub(crate) tool: Option<Located<String>>,
    /// The arguments of the tool, with templates: `${{ inputs.question }}`.
    pub(crate) with: Option<Located<Entries<Node>>>,

    /// A value, with templates.
    #[serde(default, deserialize_with = "present")]
    pub(crate) value: Option<Located<Node>>,

    /// A model that may call tools until it answers.
    pub(crate) agent: Option<Located<AgentDef>>,

    /// Steps that run at once; their outputs are a table by id.
    pub(crate) concurrent: Option<Located<Vec<Located<StepDef>>>>,

    /// Steps of which the first to succeed gives the output; the others are cancelled.
    pub(crate) race: Option<Located<Vec<Located<StepDef>>>>,
    /// What decides the race. The default is `success`.
    pub(crate) first: Option<Located<FirstDef>>,

    /// Steps one after another. With `from`, each item of a list goes through them, several at a time.
    pub(crate) pipeline: Option<Located<Vec<Located<StepDef>>>>,
    /// The list whose items go through the pipeline: a bare expression, such as `steps.pages`.
    pub(crate) from: Option<Located<Expression>>,

    /// The list for whose items `do` runs: a bare expression, such as `inputs.urls`. Steps see `item` and `index`.
    pub(crate) each: Option<Located<Expression>>,
    /// What is done with each item: a step, or a list of steps.
    #[serde(rename = "do")]
    pub(crate) body: Option<Located<Short<RungsDef>>>,
    /// What happens if an item of `each` or `pipeline`, or a branch of `concurrent`, fails. The default is `fail`.
    pub(crate) on_error: Option<Located<OnErrorDef>>,

    /// Steps that run again and again, until an expression holds. They see `index`, and `last`, the output before.
    pub(crate) repeat: Option<Located<Vec<Located<StepDef>>>>,
    /// When `repeat` has done enough: a bare expression, such as `steps.review.ok`.
    pub(crate) until: Option<Located<Expression>>,
    /// How often `repeat` runs its steps at most.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max: Option<Located<u32>>,

    /// Whether the step runs at all: a bare expression, such as `inputs.lang == "en"`. Otherwise its output is null.
    pub(crate) when: Option<Located<Expression>>,
    /// How long an attempt may take; a list gives each attempt its own time.
    timeout: Option<Located<Short<TimeoutDef>>>,
    /// How long all attempts and the waiting between them may take.
    deadline: Option<Located<Span>>,
    /// What to try again, and how often. A number is short for `max`.
    retry: Option<Located<Short<RetryDef>>>,
    /// What stands in if everything else has failed: a step, or several, each for the one before it.
    fallback: Option<Located<Short<RungsDef>>>,
    /// How many calls of this step may run at once; left out, as many as records are in flight. A record that waits
    /// for its next attempt holds no place. With `concurrent`, `each` and `pipeline`, how many branches or items of
    /// one record are on their way at once.
    #[schemars(range(min = 1))]
    limit: Option<Located<u32>>,
    /// A limit that finds itself, by how the server answers.
    adaptive: Option<Located<Short<AdaptiveDef>>>,
    /// How many calls may start in a time, and how many tokens they may use.
    rate: Option<Located<Short<RateDef>>>,
    /// Refuses calls for a time once too many have failed.
    breaker: Option<Located<Short<BreakerDef>>>,
    /// Starts a second copy of slow calls; the first to succeed wins.
    hedge: Option<Located<Short<HedgeDef>>>,
    /// Says that running it twice for one record does no harm, whatever it calls: it can then have a `hedge`, and
    /// `retry` is not warned of.
    #[serde(default)]
    idempotent: bool,
}

impl StepDef {
    /// The steps that stand in for it.
    pub(crate) fn fallback_steps(&self) -> impl Iterator<Item = &[Located<StepDef>]> {
        self.fallback.iter().map(|rungs| rungs.value.0.0.as_slice())
    }

    /// The lists of steps inside of it, its fallbacks included.
    pub(crate) fn inner(&self) -> Vec<&[Located<StepDef>]> {
        let lists = [&self.concurrent, &self.race, &self.pipeline, &self.repeat].into_iter().flatten();
        let lists = lists.map(|list| list.value.as_slice());
        lists.chain(self.body.iter().map(|body| body.value.0.0.as_slice())).chain(self.fallback_steps()).collect()
    }

    /// The limit of what is inside of it, for the kinds with which `limit` means that.
    pub(crate) fn limit_of_parts(&self) -> Option<usize> {
        let of_parts = self.concurrent.is_some() || self.each.is_some() || self.from.is_some();
        self.limit.as_ref().filter(|_| of_parts).map(|limit| limit.value as usize)
    }

    /// How it is run.
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

/// A value that stands there is one, even if it is null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Located<Node>>, D::Error> {
    Located::deserialize(deserializer).map(Some)
}

/// What decides a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FirstDef {
    /// The first step to succeed wins.
    Success,
    /// The first step to end decides, even with an error.
    Completion,
    /// The first step to show output wins, such as the first token of an agent.
    Output,
}

/// What happens if a part fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnErrorDef {
    /// The others are cancelled, and the step fails.
    Fail,
    /// The part is left out, and the output marked as partial.
    Skip,
}

/// A step, or a list of steps.
#[derive(Clone, Debug)]
pub(crate) struct RungsDef(pub(crate) Vec<Located<StepDef>>);

/// One step as a list of one: it has no place of its own.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct OneStep(Box<StepDef>);

impl From<OneStep> for RungsDef {
    fn from(one: OneStep) -> Self {
        RungsDef(vec![Located { value: *one.0, at: 0..0 }])
    }
}

impl Shorthand for RungsDef {
    type Table = OneStep;
    type Item = Located<StepDef>;
    const EXPECTED: &'static str = "a step, or a list of steps";

    fn from_list(steps: Vec<Located<StepDef>>) -> Result<Self, String> {
        if steps.is_empty() { Err("a list of steps needs at least one".to_owned()) } else { Ok(RungsDef(steps)) }
    }

    fn short(generator: &mut SchemaGenerator) -> Vec<Schema> {
        let step = generator.subschema_for::<StepDef>();
        vec![json_schema!({ "type": "array", "items": step, "minItems": 1 })]
    }
}
