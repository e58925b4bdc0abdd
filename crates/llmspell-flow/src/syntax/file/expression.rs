//! Bare expressions: the values of `each`, `from`, `when` and `until`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// An expression without the `${{ }}` of a template, such as `steps.review.ok`.
#[derive(Clone, Debug)]
pub(crate) struct Expression(pub(crate) String);

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bare;

        impl Visitor<'_> for Bare {
            type Value = Expression;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an expression such as steps.review.ok")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expression, E> {
                Ok(Expression(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Expression, E> {
                Ok(Expression(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Expression, E> {
                Ok(Expression(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Expression, E> {
                Ok(Expression(number.to_string()))
            }
        }

        deserializer.deserialize_any(Bare)
    }
}

impl JsonSchema for Expression {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "boolean", "integer"] })
    }
}
