//! What a flow file says, as types; the schema of the file is derived from them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::duration::Span;
use crate::entries::Entries;
use crate::located::Located;
use crate::node::Node;

/// A flow: steps that turn one record into one output.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "LLMSpell flow")]
pub(crate) struct FlowFile {
    /// The name of the flow: it begins the path of every step in errors, events and the report.
    pub(crate) flow: Located<String>,
    /// The version of this file format.
    #[serde(default)]
    #[schemars(extend("const" = 1))]
    pub(crate) version: Option<Located<u32>>,
    /// What the flow does, in a sentence or two.
    pub(crate) description: Option<String>,
    /// The fields that a record must have. Left out, any record will do.
    pub(crate) inputs: Option<Entries<InputDef>>,
    /// The steps, in the order in which a record passes them.
    pub(crate) steps: Located<Vec<Located<StepDef>>>,
    /// What comes out, with templates; by default the output of the last step.
    pub(crate) output: Option<Located<Node>>,
}

/// A field of the record.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputDef {
    /// The type of the field; left out, any will do.
    #[serde(rename = "type")]
    pub(crate) kind: Option<InputType>,
    /// Whether a record without it is an error. The default is true, unless there is a default.
    pub(crate) required: Option<bool>,
    /// What stands in for the field if the record has none.
    pub(crate) default: Option<Located<Node>>,
    /// What the field holds.
    #[serde(rename = "description")]
    pub(crate) _description: Option<String>,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InputType {
    String,
    Number,
    Integer,
    Boolean,
    Array,
    Object,
}

/// A step: a tool, its arguments, and how it is run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepDef {
    /// The name of the step; later steps see its output as `steps.<id>`.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub(crate) id: Located<String>,
    /// The tool to call; `llmspell tools` lists them.
    pub(crate) tool: Located<String>,
    /// The arguments of the tool, with templates: `${{ inputs.question }}`.
    #[serde(default)]
    pub(crate) with: Entries<Node>,
    /// How long an attempt may take; a list gives each attempt its own time.
    pub(crate) timeout: Option<Located<TimeoutDef>>,
    /// How long all attempts and the waiting between them may take.
    pub(crate) deadline: Option<Located<Span>>,
    /// What to try again, and how often. A number is short for `max`.
    pub(crate) retry: Option<Located<RetryDef>>,
    /// How many calls of this step may run at once; left out, as many as records are in flight. A record that waits
    /// for its next attempt holds no place.
    #[schemars(range(min = 1))]
    pub(crate) limit: Option<Located<u32>>,
}

/// When to try again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RetryDef {
    pub(crate) max: u32,
    pub(crate) base: Option<Span>,
    pub(crate) on: Option<Vec<RetryOn>>,
}

/// The long form of [`RetryDef`].
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Retry")]
struct RetryTable {
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

/// One time for every attempt, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimeoutDef(pub(crate) Vec<Span>);

impl<'de> Deserialize<'de> for TimeoutDef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = TimeoutDef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 2s, or a list with one for each attempt, such as [1s, 3s]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeoutDef, E> {
                Ok(TimeoutDef(vec![text.parse().map_err(E::custom)?]))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<TimeoutDef, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<TimeoutDef, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<TimeoutDef, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<TimeoutDef, A::Error> {
                let mut times = Vec::new();
                while let Some(time) = access.next_element()? {
                    times.push(time);
                }
                if times.is_empty() {
                    return Err(de::Error::custom("a list of timeouts needs at least one"));
                }
                Ok(TimeoutDef(times))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

impl JsonSchema for TimeoutDef {
    fn schema_name() -> Cow<'static, str> {
        "Timeout".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Span>();
        json_schema!({ "anyOf": [span, { "type": "array", "items": span, "minItems": 1 }] })
    }
}

impl<'de> Deserialize<'de> for RetryDef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrTable;

        impl<'de> Visitor<'de> for NumberOrTable {
            type Value = RetryDef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of attempts, or { max: 3, base: 250ms, on: [timeout] }")
            }

            fn visit_u64<E: de::Error>(self, max: u64) -> Result<RetryDef, E> {
                let max = u32::try_from(max).unwrap_or(u32::MAX);
                Ok(RetryDef { max, base: None, on: None })
            }

            fn visit_i64<E: de::Error>(self, max: i64) -> Result<RetryDef, E> {
                let negative = |_| E::custom(format!("{max} attempts: a number from 1 to 100 is expected here"));
                self.visit_u64(u64::try_from(max).map_err(negative)?)
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<RetryDef, A::Error> {
                let table = RetryTable::deserialize(MapAccessDeserializer::new(access))?;
                Ok(RetryDef { max: table.max.unwrap_or(3), base: table.base, on: table.on })
            }
        }

        deserializer.deserialize_any(NumberOrTable)
    }
}

impl JsonSchema for RetryDef {
    fn schema_name() -> Cow<'static, str> {
        "NumberOrRetry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<RetryTable>();
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 100 }, table] })
    }
}
