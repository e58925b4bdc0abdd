//! Values with a short form: `retry: 3` beside `retry: { max: 3, base: 250ms }`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value with a long form, a table, and at least one short form.
pub(crate) trait Shorthand: Sized {
    /// The long form.
    type Table: for<'de> Deserialize<'de> + JsonSchema + Into<Self>;
    /// The items of the list, if a list is a short form.
    type Item: for<'de> Deserialize<'de>;
    /// The valid forms, for error messages.
    const EXPECTED: &'static str;

    /// Parses a text.
    fn from_text(_: &str) -> Result<Self, String> {
        Err(format!("expected {}", Self::EXPECTED))
    }

    /// Converts a number.
    fn from_number(number: f64) -> Result<Self, String> {
        Self::from_text(&number.to_string())
    }

    /// Converts a boolean.
    fn from_bool(_: bool) -> Result<Self, String> {
        Err(format!("expected {}", Self::EXPECTED))
    }

    /// Converts a list.
    fn from_list(_: Vec<Self::Item>) -> Result<Self, String> {
        Err(format!("expected {}", Self::EXPECTED))
    }

    /// Returns the schemas of the short forms.
    fn short(generator: &mut SchemaGenerator) -> Vec<Schema>;
}

/// A value in either form.
#[derive(Clone, Debug)]
pub(crate) struct Short<T>(pub(crate) T);

/// The item type of values without a list form.
#[derive(Clone, Debug)]
pub(crate) struct NoList;

impl<'de> Deserialize<'de> for NoList {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("unexpected list"))
    }
}

impl<'de, T: Shorthand> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyForm<T>(PhantomData<T>);

        impl<'de, T: Shorthand> Visitor<'de> for AnyForm<T> {
            type Value = Short<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Short<T>, E> {
                T::from_text(text).map(Short).map_err(E::custom)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Short<T>, E> {
                T::from_bool(value).map(Short).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Short<T>, E> {
                self.visit_f64(number as f64)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Short<T>, E> {
                self.visit_f64(number as f64)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Short<T>, E> {
                T::from_number(number).map(Short).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Short<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = access.next_element()? {
                    items.push(item);
                }
                T::from_list(items).map(Short).map_err(de::Error::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Short<T>, A::Error> {
                T::Table::deserialize(MapAccessDeserializer::new(access)).map(|table| Short(table.into()))
            }
        }

        deserializer.deserialize_any(AnyForm(PhantomData))
    }
}

impl<T: Shorthand> JsonSchema for Short<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Short{}", T::Table::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut forms = T::short(generator);
        forms.push(generator.subschema_for::<T::Table>());
        json_schema!({ "anyOf": forms })
    }
}

/// Converts a number to an integer from `min` to `max`.
pub(crate) fn whole(number: f64, min: u32, max: u32) -> Result<u32, String> {
    if number.fract() == 0.0 && number >= f64::from(min) && number <= f64::from(max) {
        return Ok(number as u32);
    }
    Err(format!("{number} is not a whole number from {min} to {max}"))
}
