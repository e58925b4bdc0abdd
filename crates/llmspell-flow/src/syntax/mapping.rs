//! YAML mappings whose keys keep their position.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::syntax::located::Located;

/// A mapping in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Mapping<T>(pub(crate) Vec<MappingEntry<T>>);

/// A key and its value, both with their positions.
pub(crate) type MappingEntry<T> = (Located<String>, Located<T>);

impl<T> Default for Mapping<T> {
    fn default() -> Self {
        Mapping(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Mapping<T> {
    pub(crate) fn read<A: MapAccess<'de>>(mut access: A) -> Result<Self, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Mapping(entries))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Mapping<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<T> {
            type Value = Mapping<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of names and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Mapping<T>, A::Error> {
                Mapping::read(access)
            }
        }

        deserializer.deserialize_map(Table(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Mapping<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Table".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}
