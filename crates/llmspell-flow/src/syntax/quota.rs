//! Quotas in the notation of flow files: `10/s`, `60/min`, `5/2s`.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::duration::{DurationDef, format_duration};

/// Parses a rate in the notation of flow files, such as `10/s`, `600/min` or `5/2s`, into a number and a period.
///
/// # Errors
/// A message that describes the mistake.
pub fn parse_rate(text: &str) -> Result<(u64, Duration), String> {
    text.parse::<Quota>().map(|per| (per.count, per.period))
}

/// The notation, for messages.
pub(crate) const EXPECTED: &str = "a number per period";

/// A quota: a number per period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// The number of units in each period.
    pub count: u64,
    /// The length of a period.
    pub period: Duration,
}

impl From<(u64, Duration)> for Quota {
    fn from((count, period): (u64, Duration)) -> Self {
        Quota { count, period }
    }
}

impl Quota {
    /// Formats the quota with a unit: `90000 tokens/min`.
    pub(crate) fn of(self, what: &str) -> String {
        let period = format_duration(self.period);
        let unit = period.strip_prefix('1').filter(|unit| unit.starts_with(char::is_alphabetic));
        format!("{}{what}/{}", self.count, unit.unwrap_or(&period))
    }
}

/// The notation of flow files: `10/s`, `60/min`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.of(""))
    }
}

impl std::str::FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not {EXPECTED}, such as 10/s, 60/min or 1000/h");
        let (count, period) = text.split_once('/').ok_or_else(wrong)?;
        let count = count.trim().replace('_', "").parse().map_err(|_| wrong())?;
        if count == 0 {
            return Err(format!("`{text}`: nothing would ever start"));
        }
        let period = period.trim();
        // A bare unit means one unit.
        let first = period.starts_with(|c: char| c.is_ascii_digit());
        let period = if first { period.parse::<DurationDef>() } else { format!("1{period}").parse() };
        Ok(Quota { count, period: period.map_err(|_| wrong())?.0 })
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Quota {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quota".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\s*[0-9_]+\s*/\s*([0-9.]+\s*)?(ms|s|m|min|h)\s*$",
            "description": "A number per period, such as 10/s, 60/min or 1000/h.",
        })
    }
}
