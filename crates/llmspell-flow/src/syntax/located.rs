//! Values that remember where in the file they stand.

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

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

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Located { value: spanned.value, at: bytes(spanned.referenced) })
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
