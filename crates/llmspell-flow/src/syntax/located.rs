//! Values with their position in the file.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// A value and its range of bytes in the file.
#[derive(Clone, Debug)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Range<usize>,
}

impl<T> Located<T> {
    pub(crate) fn as_ref(&self) -> Located<&T> {
        Located { value: &self.value, at: self.at.clone() }
    }
}

/// Returns the range of bytes of a location that the YAML parser reports.
pub(crate) fn bytes(location: serde_saphyr::Location) -> Range<usize> {
    let span = location.span();
    let of = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    let start = of(span.byte_offset());
    start..start.saturating_add(of(span.byte_len()))
}

/// The name of the newtype for which the parser of `serde_saphyr::Spanned` returns a value with its position.
const SPANNED: &str = "__yaml_spanned";

/// Reads the map that the parser returns for [`SPANNED`]: a marker, the value, and its position.
///
/// `serde_saphyr::Spanned` does the same, and also reads values that serde has buffered. That code would be compiled
/// sixteen times for each type of the file and never run: a sixth of the code of this crate. The protocol is internal to
/// serde-saphyr, so its version is pinned. If it changes, the first value of any file fails.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SPANNED, LocatedVisitor(PhantomData))
    }
}

struct LocatedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for LocatedVisitor<T> {
    type Value = Located<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its position in the file")
    }

    /// The parser returns the map for any request; requesting a unit compiles to the least code.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Located<T>, D::Error> {
        deserializer.deserialize_unit(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Located<T>, A::Error> {
        map.next_entry::<IgnoredAny, IgnoredAny>()?;
        key(&mut map, "value")?;
        let value = map.next_value()?;
        key(&mut map, "referenced")?;
        Ok(Located { value, at: bytes(map.next_value()?) })
    }
}

fn key<'de, A: MapAccess<'de>>(map: &mut A, name: &'static str) -> Result<(), A::Error> {
    match map.next_key::<String>()? {
        Some(key) if key == name => Ok(()),
        _ => Err(de::Error::missing_field(name)),
    }
}

/// The schema is that of the value.
impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
