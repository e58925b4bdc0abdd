//! Values that remember where in the file they stand.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// A value and its bytes in the file.
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

/// The bytes of a place that the YAML parser reports.
pub(crate) fn bytes(place: serde_saphyr::Location) -> Range<usize> {
    let span = place.span();
    let of = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    let start = of(span.byte_offset());
    start..start.saturating_add(of(span.byte_len()))
}

/// The name under which `serde_saphyr::Spanned` asks its parser for a value with its place.
const SPANNED: &str = "__yaml_spanned";

/// Reads what the parser gives under [`SPANNED`]: a marker, the value, and its place.
///
/// `serde_saphyr::Spanned` does the same, and also reads values that serde has buffered. The code for that is compiled
/// sixteen times for each type of the file, and never runs: it was a sixth of this crate. The protocol is internal to
/// serde-saphyr, so its version is pinned. A change of it fails with the first value of any file.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SPANNED, WithPlace(PhantomData))
    }
}

struct WithPlace<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for WithPlace<T> {
    type Value = Located<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its place in the file")
    }

    /// The parser answers any request here with the map; a unit is the request that takes the least code.
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

/// In the schema it is the value alone.
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
