//! The modifiers of a step: time limits, retries, fallbacks, limits, rates, breakers and hedges.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::Short;
use super::shorthand::{NoList, Shorthand, whole};
use crate::syntax::duration::DurationDef;
use crate::syntax::quota::Quota;

/// The time limits of an attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimeoutDef {
    /// One limit for every attempt, or one for each.
    pub(crate) attempt: Vec<DurationDef>,
    /// The limit until the first output.
    pub(crate) first: Option<DurationDef>,
    /// The limit between one output and the next.
    pub(crate) idle: Option<DurationDef>,
}

/// The time limits of an attempt.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Timeout")]
pub(crate) struct TimeoutTable {
    /// The time limit of an attempt. A list sets one for each attempt.
    attempt: Option<Short<AttemptTimeouts>>,
    /// The time limit until the first output; for steps that stream their output, such as agents.
    first: Option<DurationDef>,
    /// The longest time without output or a heartbeat.
    idle: Option<DurationDef>,
}

/// One time limit, or a list with one for each attempt.
#[derive(Clone, Debug)]
pub(crate) struct AttemptTimeouts(Vec<DurationDef>);

/// Never deserialized: time limits have no table form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Times")]
pub(crate) struct NoTable {}

impl From<NoTable> for AttemptTimeouts {
    fn from(_: NoTable) -> Self {
        AttemptTimeouts(Vec::new())
    }
}

fn non_empty(list: Vec<DurationDef>) -> Result<Vec<DurationDef>, String> {
    if list.is_empty() { Err("a list of timeouts needs at least one".to_owned()) } else { Ok(list) }
}

impl Shorthand for AttemptTimeouts {
    type Table = NoTable;
    type Item = DurationDef;
    const EXPECTED: &'static str = "a duration such as 2s, or a list with one for each attempt, such as [1s, 3s]";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(AttemptTimeouts(vec![text.parse()?]))
    }

    fn from_list(list: Vec<DurationDef>) -> Result<Self, String> {
        non_empty(list).map(AttemptTimeouts)
    }

    fn short(generator: &mut SchemaGenerator) -> Vec<Schema> {
        one_or_more(generator)
    }
}

fn one_or_more(generator: &mut SchemaGenerator) -> Vec<Schema> {
    let span = generator.subschema_for::<DurationDef>();
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
    type Item = DurationDef;
    const EXPECTED: &'static str =
        "a duration such as 2s, a list with one for each attempt, or { attempt: 20s, first: 2s, idle: 5s }";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(TimeoutDef { attempt: vec![text.parse()?], ..TimeoutDef::default() })
    }

    fn from_list(list: Vec<DurationDef>) -> Result<Self, String> {
        Ok(TimeoutDef { attempt: non_empty(list)?, ..TimeoutDef::default() })
    }

    fn short(generator: &mut SchemaGenerator) -> Vec<Schema> {
        one_or_more(generator)
    }
}

/// The retries of a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RetryDef {
    pub(crate) max: u32,
    pub(crate) base: Option<DurationDef>,
    pub(crate) on: Option<Vec<RetryOn>>,
}

/// The errors that are retried, and the number of attempts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Retry")]
pub(crate) struct RetryTable {
    /// The maximum number of attempts, including the first. The default is 3.
    #[schemars(range(min = 1, max = 100))]
    max: Option<u32>,
    /// The upper bound of the first delay. It doubles with each attempt, and each delay is random below its bound. The
    /// default is 100ms.
    base: Option<DurationDef>,
    /// The errors that are retried. The default is `[transient]`.
    on: Option<Vec<RetryOn>>,
}

/// A class of errors that are retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RetryOn {
    /// Errors that the tool marks as transient, and timeouts.
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
        let wrong = |_| format!("{number} attempts: expected a number from 1 to 100");
        Ok(RetryDef { max: whole(number, 0, u32::MAX).map_err(wrong)?, base: None, on: None })
    }

    fn short(_: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({ "type": "integer", "minimum": 1, "maximum": 100 })]
    }
}

/// The maximum number of calls per period.
#[derive(Clone, Debug)]
pub(crate) struct RateDef {
    pub(crate) requests: Option<Quota>,
    pub(crate) tokens: Option<Quota>,
    pub(crate) burst: Option<DurationDef>,
}

/// The maximum number of calls and tokens per period.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rate")]
pub(crate) struct RateTable {
    /// The maximum number of calls that start in a period, such as 60/min.
    requests: Option<Quota>,
    /// The maximum number of tokens in a period, such as 90000/min.
    tokens: Option<Quota>,
    /// The amount of unused time that can be saved for a burst; see `Rate::burst` in the documentation of the library.
    burst: Option<DurationDef>,
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
        vec![generator.subschema_for::<Quota>()]
    }
}

/// An adaptive limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdaptiveDef {
    pub(crate) off: bool,
    pub(crate) by: AdaptiveBy,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
    pub(crate) initial: Option<u32>,
}

/// The signal that an adaptive limit follows.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AdaptiveBy {
    /// Rejections: for servers that report overload (429, 503). The default.
    #[default]
    Refusals,
    /// Latency: for servers that only become slow.
    Latency,
}

/// A limit that adapts between two bounds.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Adaptive")]
pub(crate) struct AdaptiveTable {
    /// The signal that the limit follows.
    #[serde(default)]
    by: AdaptiveBy,
    /// The lower bound. The default is 1.
    #[schemars(range(min = 1))]
    min: Option<u32>,
    /// The upper bound. The default is 256.
    #[schemars(range(min = 1))]
    max: Option<u32>,
    /// The initial limit.
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
            _ => return Err(format!("`{text}`: expected {}", Self::EXPECTED)),
        };
        Ok(AdaptiveDef { by, ..AdaptiveDef::default() })
    }

    fn short(generator: &mut SchemaGenerator) -> Vec<Schema> {
        vec![json_schema!({ "type": "boolean" }), generator.subschema_for::<AdaptiveBy>()]
    }
}

/// A circuit breaker.
#[derive(Clone, Debug, Default)]
pub(crate) struct BreakerDef {
    pub(crate) off: bool,
    pub(crate) share: Option<f64>,
    pub(crate) window: Option<DurationDef>,
    pub(crate) calls: Option<u32>,
    pub(crate) open: Option<DurationDef>,
}

/// A circuit breaker: rejects calls for a time after too many failures.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Breaker")]
pub(crate) struct BreakerTable {
    /// The share of failed calls that opens the circuit, such as 0.5.
    #[schemars(range(min = 0.01, max = 1.0))]
    share: Option<f64>,
    /// The time over which calls are counted.
    window: Option<DurationDef>,
    /// The minimum number of calls in this time.
    #[schemars(range(min = 1))]
    calls: Option<u32>,
    /// The time during which calls are rejected, before one trial call is admitted.
    open: Option<DurationDef>,
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

/// A hedge: a second copy of slow calls.
#[derive(Clone, Debug)]
pub(crate) struct HedgeDef {
    pub(crate) after: After,
    pub(crate) share: Option<f64>,
}

/// The delay of a hedge: fixed, or a percentile of past latencies.
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
                percentile.parse().map_err(|_| format!("invalid percentile `{text}`: write p95 or p99"))?;
            if !(1.0..100.0).contains(&percentile) {
                return Err(format!("invalid percentile `{text}`: expected p1 to p99.9"));
            }
            return Ok(After::Percentile(percentile));
        }
        text.parse::<DurationDef>().map(|span| After::Delay(span.0))
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
            "description": "A delay such as 800ms, or a percentile of past latencies, such as p95.",
        })
    }
}

/// A second copy of slow calls. The first copy to succeed wins.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Hedge")]
pub(crate) struct HedgeTable {
    /// The start of the second copy: after a delay such as 800ms, or a percentile of past latencies, such as p95.
    after: After,
    /// The maximum share of calls with a second copy. The default is 0.1.
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
