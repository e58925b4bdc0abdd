//! Quotas as flow files write them: `10/s`, `60/min`, `5/2s`.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::duration::{Span, written_duration};

/// Reads a rate as flow files write it: `10/s`, `600/min`, `5/2s`; how many, and in which time.
///
/// # Errors
/// What is wrong with it.
pub fn parse_rate(text: &str) -> Result<(u64, Duration), String> {
    text.parse::<Per>().map(|per| (per.count, per.period))
}

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Per {
    /// How many.
    pub count: u64,
    /// In which time.
    pub period: Duration,
}

impl From<(u64, Duration)> for Per {
    fn from((count, period): (u64, Duration)) -> Self {
        Per { count, period }
    }
}

impl Per {
    /// As files write it, of something: `90000 tokens/min`.
    pub(crate) fn of(self, what: &str) -> String {
        let period = written_duration(self.period);
        let unit = period.strip_prefix('1').filter(|unit| unit.starts_with(char::is_alphabetic));
        format!("{}{what}/{}", self.count, unit.unwrap_or(&period))
    }
}

/// As files write it: `10/s`, `60/min`.
impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.of(""))
    }
}

impl std::str::FromStr for Per {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "so many in a time, such as 10/s, 60/min or 1000/h";
        let wrong = || format!("`{text}` is not {example}");
        let (count, period) = text.split_once('/').ok_or_else(wrong)?;
        let count = count.trim().replace('_', "").parse().map_err(|_| wrong())?;
        if count == 0 {
            return Err(format!("`{text}`: nothing would ever start"));
        }
        let period = period.trim();
        // A bare unit is one of it.
        let first = period.starts_with(|c: char| c.is_ascii_digit());
        let period = if first { period.parse::<Span>() } else { format!("1{period}").parse() };
        Ok(Per { count, period: period.map_err(|_| wrong())?.0 })
    }
}

impl<'de> Deserialize<'de> for Per {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Per {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Per".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\s*[0-9_]+\s*/\s*([0-9.]+\s*)?(ms|s|m|min|h)\s*$",
            "description": "So many in a time, such as 10/s, 60/min or 1000/h.",
        })
    }
}
