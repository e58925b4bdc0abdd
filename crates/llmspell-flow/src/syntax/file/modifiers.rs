//! How a step is run: the modifiers of a flow file.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::DefaultsDef;
use super::Short;
use super::shorthand::{NoList, Shorthand, whole};
use super::step::RungsDef;
use crate::syntax::duration::Span;
use crate::syntax::located::Located;
use crate::syntax::quota::Per;

/// The modifiers of a step. However they are written, they apply in one order, from the outside in: `when`,
/// `fallback`, `deadline`, `retry`, `hedge`, `breaker`, `rate`, `limit` or `adaptive`, `timeout`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modifiers {
    pub(crate) timeout: Option<Located<Short<TimeoutDef>>>,
    pub(crate) deadline: Option<Located<Span>>,
    pub(crate) retry: Option<Located<Short<RetryDef>>>,
    pub(crate) fallback: Option<Located<Short<RungsDef>>>,
    pub(crate) limit: Option<Located<u32>>,
    pub(crate) adaptive: Option<Located<Short<AdaptiveDef>>>,
    pub(crate) rate: Option<Located<Short<RateDef>>>,
    pub(crate) breaker: Option<Located<Short<BreakerDef>>>,
    pub(crate) hedge: Option<Located<Short<HedgeDef>>>,
    /// Whether running it twice for one record does no harm.
    pub(crate) idempotent: bool,
}

impl Modifiers {
    /// Takes over what the step itself does not say.
    pub(crate) fn fill(&mut self, defaults: &DefaultsDef) {
        self.timeout = self.timeout.take().or_else(|| defaults.timeout.clone());
        self.deadline = self.deadline.take().or_else(|| defaults.deadline.clone());
        self.retry = self.retry.take().or_else(|| defaults.retry.clone());
        if self.adaptive.is_none() {
            self.limit = self.limit.take().or_else(|| defaults.limit.clone());
        }
    }

    /// How many attempts there are at most.
    pub(crate) fn attempts(&self) -> u32 {
        self.retry.as_ref().map_or(1, |retry| retry.value.0.max)
    }

    /// The longest time that an attempt may take, if there is one.
    pub(crate) fn longest_attempt(&self) -> Option<Duration> {
        self.timeout.as_ref()?.value.0.attempt.iter().map(|time| time.0).max()
    }
}

/// How long things may take.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimeoutDef {
    /// One time for every attempt, or one for each.
    pub(crate) attempt: Vec<Span>,
    /// Until the first output.
    pub(crate) first: Option<Span>,
    /// Between one output and the next.
    pub(crate) idle: Option<Span>,
}

/// How long an attempt may take, and how long it may be silent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Timeout")]
pub(crate) struct TimeoutTable {
    /// How long an attempt may take; a list gives each attempt its own time.
    attempt: Option<Short<Times>>,
    /// How long an attempt may take until its first output; for steps that show output, such as agents.
    first: Option<Span>,
    /// How long an attempt may go without any output or sign of life.
    idle: Option<Span>,
}

/// One time, or a list of times.
#[derive(Clone, Debug)]
pub(crate) struct Times(Vec<Span>);

/// Never read: times have no table.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Times")]
pub(crate) struct NoTable {}

impl From<NoTable> for Times {
    fn from(_: NoTable) -> Self {
        Times(Vec::new())
    }
}

fn times(list: Vec<Span>) -> Result<Vec<Span>, String> {
    if list.is_empty() { Err("a list of timeouts needs at least one".to_owned()) } else { Ok(list) }
}

impl Shorthand for Times {
    type Table = NoTable;
    type Item = Span;
    const EXPECTED: &'static str = "a duration such as 2s, or a list with one for each attempt, such as [1s, 3s]";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Times(vec![text.parse()?]))
    }

    fn from_list(list: Vec<Span>) -> Result<Self, String> {
        times(list).map(Times)
    }

    fn short(generator: &mut SchemaGenerator) -> Vec<Schema> {
        one_or_more(generator)
    }
}

fn one_or_more(generator: &mut SchemaGenerator) -> Vec<Schema> {
    let span = generator.subschema_for::<Span>();
    vec![span.clone(), json_schema!({ "type": "array", "items": span, "minItems": 1 })]
}

impl From<TimeoutTable> for TimeoutDef {
    fn from(table: TimeoutTable) -> Self {
        let attempt = table.attempt.map_or_else(Vec::new, |times| times.0.0);
        TimeoutDef { attempt, first: table.first, idle: table.idle }
    }
}

impl Shorthand for TimeoutDef {
    type Table = TimeoutTable;
    type Item = Span;
    const EXPECTED: &'static str =
        "a duration such as 2s, a list with one for each attempt, or { attempt: 20s, first: 2s, idle: 5s }";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(TimeoutDef { attempt: vec![text.parse()?], ..TimeoutDef::default() })
    }

    fn from_list(list: Vec<Span>) -> Result<Self, String> {
        Ok(TimeoutDef { attempt: times(list)?, ..TimeoutDef::default() })
    }

    fn short(generator: &mut SchemaGenerator) -> Vec<Schema> {
        one_or_more(generator)
    }
}

/// When to try again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RetryDef {
    pub(crate) max: u32,
    pub(crate) base: Option<Span>,
    pub(crate) on: Option<Vec<RetryOn>>,
}

/// What to try again, and how often.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Retry")]
pub(crate) struct RetryTable {
    /// How many attempts there are, the first included. The default is 3.
    #[schemars(range(min = 1, max = 100))]
    max: Option<u32>,
    /// The bound of the first wait; it doubles with each attempt, and the wait is drawn from below it. The default is
    /// 100ms.
    base: Option<Span>,
    /// Which errors are tried again. The default is `[transient]`.
    on: Option<Vec<RetryOn>>,
}

/// A class of errors that are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RetryOn {
    /// Whatever the tool says may go better next time, timeouts included.
    Transient,
    /// A timeout.
    Timeout,
    /// Any failure of the tool.
    Failed,
    /// A panic in the tool.
    Panicked,
}

impl From<RetryTable> for RetryDef {
    fn from(table: RetryTable) -> Self {
        RetryDef { max: table.max.unwrap_or(3), base: table.base, on: table.on }
    }
}

impl Shorthand for RetryDef {
    type Table = RetryTable;
    type Item = NoList;
    const EXPECTED: &'static str = "a number of attempts, or { max: 3, base: 250ms, on: [timeout] }";

    fn from_number(number: f64) -> Result<Self, String> {
        let wrong = |_| format!("{number} attempts: a number from 1 to 100 is expected here");
        Ok(RetryDef { max: whole(number, 0, u32::MAX).map_err(wrong)?, base: None, on: None })
    }

    fn short(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({ "type": "integer", "minimum": 1, "maximum": 100 })]
    }
}

/// How many calls may start in a time.
#[derive(Clone, Debug)]
pub(crate) struct RateDef {
    pub(crate) requests: Option<Per>,
    pub(crate) tokens: Option<Per>,
    pub(crate) burst: Option<Span>,
}

/// How many calls may start in a time, and how many tokens they may use.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rate")]
pub(crate) struct RateTable {
    /// How many calls may start, such as 60/min.
    requests: Option<Per>,
    /// How many tokens they may use, such as 90000/min.
    tokens: Option<Per>,
    /// How much unused time may be saved up; see the docs of the library's `Rate::burst`.
    burst: Option<Span>,
}

impl From<RateTable> for RateDef {
    fn from(table: RateTable) -> Self {
        RateDef { requests: table.requests, tokens: table.tokens, burst: table.burst }
    }
}

impl Shorthand for RateDef {
    type Table = RateTable;
    type Item = NoList;
    const EXPECTED: &'static str = "calls in a time such as 60/min, or { requests: 60/min, tokens: 90000/min }";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(RateDef { requests: Some(text.parse()?), tokens: None, burst: None })
    }

    fn short(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<Per>()]
    }
}

/// A limit that finds itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdaptiveDef {
    pub(crate) off: bool,
    pub(crate) by: AdaptiveBy,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
    pub(crate) initial: Option<u32>,
}

/// What a limit that finds itself goes by.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AdaptiveBy {
    /// Refusals: for servers that say when they are overloaded (429, 503). The default.
    #[default]
    Refusals,
    /// Latency: for servers that only become slow.
    Latency,
}

/// A limit that finds itself between two bounds.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Adaptive")]
pub(crate) struct AdaptiveTable {
    /// What it goes by.
    #[serde(default)]
    by: AdaptiveBy,
    /// It never goes below. The default is 1.
    #[schemars(range(min = 1))]
    min: Option<u32>,
    /// It never goes beyond.
    #[schemars(range(min = 1))]
    max: Option<u32>,
    /// Where it begins.
    #[schemars(range(min = 1))]
    initial: Option<u32>,
}

impl From<AdaptiveTable> for AdaptiveDef {
    fn from(table: AdaptiveTable) -> Self {
        AdaptiveDef { off: false, by: table.by, min: table.min, max: table.max, initial: table.initial }
    }
}

impl Shorthand for AdaptiveDef {
    type Table = AdaptiveTable;
    type Item = NoList;
    const EXPECTED: &'static str = "true, refusals, latency, or { by: refusals, min: 1, max: 64 }";

    fn from_bool(on: bool) -> Result<Self, String> {
        Ok(AdaptiveDef { off: !on, ..AdaptiveDef::default() })
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let by = match text {
            "refusals" => AdaptiveBy::Refusals,
            "latency" => AdaptiveBy::Latency,
            _ => return Err(format!("`{text}`: {} is expected here", Self::EXPECTED)),
        };
        Ok(AdaptiveDef { by, ..AdaptiveDef::default() })
    }

    fn short(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({ "type": "boolean" }), generator.subschema_for::<AdaptiveBy>()]
    }
}

/// When to stop calling.
#[derive(Clone, Debug, Default)]
pub(crate) struct BreakerDef {
    pub(crate) off: bool,
    pub(crate) share: Option<f64>,
    pub(crate) window: Option<Span>,
    pub(crate) calls: Option<u32>,
    pub(crate) open: Option<Span>,
}

/// Calls are refused for a time once too many have failed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Breaker")]
pub(crate) struct BreakerTable {
    /// The share of calls that must fail, such as 0.5.
    #[schemars(range(min = 0.01, max = 1.0))]
    share: Option<f64>,
    /// Over how much time.
    window: Option<Span>,
    /// Of how many calls at least.
    #[schemars(range(min = 1))]
    calls: Option<u32>,
    /// How long calls are then refused, before one is let through to see.
    open: Option<Span>,
}

impl From<BreakerTable> for BreakerDef {
    fn from(table: BreakerTable) -> Self {
        BreakerDef { off: false, share: table.share, window: table.window, calls: table.calls, open: table.open }
    }
}

impl Shorthand for BreakerDef {
    type Table = BreakerTable;
    type Item = NoList;
    const EXPECTED: &'static str = "true, or { share: 0.5, window: 30s, calls: 10, open: 10s }";

    fn from_bool(on: bool) -> Result<Self, String> {
        Ok(BreakerDef { off: !on, ..BreakerDef::default() })
    }

    fn short(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({ "type": "boolean" })]
    }
}

/// When to start a second copy.
#[derive(Clone, Debug)]
pub(crate) struct HedgeDef {
    pub(crate) after: After,
    pub(crate) share: Option<f64>,
}

/// A delay, or a percentile of the times so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum After {
    Delay(Duration),
    Percentile(f64),
}

impl std::str::FromStr for After {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(percentile) = text.strip_prefix('p') {
            let percentile: f64 =
                percentile.parse().map_err(|_| format!("`{text}` is no percentile: write p95 or p99"))?;
            if !(1.0..100.0).contains(&percentile) {
                return Err(format!("`{text}` is no percentile: from p1 to p99.9"));
            }
            return Ok(After::Percentile(percentile));
        }
        text.parse::<Span>().map(|span| After::Delay(span.0))
    }
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for After {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "After".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A delay such as 800ms, or a percentile of the times so far, such as p95.",
        })
    }
}

/// A second copy of slow calls; the first to succeed wins.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Hedge")]
pub(crate) struct HedgeTable {
    /// When: after a delay such as 800ms, or at a percentile of the times so far, such as p95.
    after: After,
    /// The share of calls that may have a second copy. The default is 0.1.
    #[schemars(range(min = 0.001, max = 1.0))]
    share: Option<f64>,
}

impl From<HedgeTable> for HedgeDef {
    fn from(table: HedgeTable) -> Self {
        HedgeDef { after: table.after, share: table.share }
    }
}

impl Shorthand for HedgeDef {
    type Table = HedgeTable;
    type Item = NoList;
    const EXPECTED: &'static str = "a delay such as 800ms, a percentile such as p95, or { after: p95, share: 0.05 }";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(HedgeDef { after: text.parse()?, share: None })
    }

    fn short(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![generator.subschema_for::<After>()]
    }
}
