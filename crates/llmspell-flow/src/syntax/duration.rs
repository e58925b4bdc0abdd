//! Durations in the notation of flow files: `250ms`, `1.5s`, `2m`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A duration with its unit. A bare number is rejected, because it could mean seconds or milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DurationDef(pub(crate) Duration);

/// The longest duration that a file can contain: one year, in seconds.
const MAX_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

const EXAMPLE: &str = "a duration with a unit, such as 250ms, 1.5s, 2m or 1h";

impl std::str::FromStr for DurationDef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: f64 = number.parse().map_err(|_| format!("`{text}` is not {EXAMPLE}"))?;
        let seconds = match unit.trim_start() {
            "ms" => number / 1e3,
            "s" => number,
            "m" | "min" => number * 60.0,
            "h" => number * 3600.0,
            "" => return Err(format!("`{text}` has no unit: write {text}s or {text}ms")),
            other => return Err(format!("`{other}` is not a unit of time: there are ms, s, m and h")),
        };
        if seconds > MAX_SECONDS {
            return Err(format!("`{text}` is longer than a year"));
        }
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) if !time.is_zero() => Ok(DurationDef(time)),
            _ => Err("a duration must be longer than 0".to_owned()),
        }
    }
}

/// Parses a duration in the notation of flow files: `250ms`, `1.5s`, `2m`, `1h`.
///
/// # Errors
/// A message that describes the mistake, such as a missing unit.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    text.parse::<DurationDef>().map(|span| span.0)
}

/// Formats a duration. Short durations and whole numbers of a unit have the notation of flow files, such as `90s`;
/// others are rounded up for readers: `49 min 46 s`, `12 h 5 min`.
pub fn format_duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let whole = |unit: f64| (seconds / unit - (seconds / unit).round()).abs() < 1e-9 && seconds / unit >= 0.5;
    let rounded = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match (rounded, rounded.div_ceil(60)) {
        (36_000.., minutes) if !minutes.is_multiple_of(60) => {
            return format!("{} h {} min", minutes / 60, minutes % 60);
        }
        (36_000.., minutes) => return format!("{}h", minutes / 60),
        (601..36_000, _) if !rounded.is_multiple_of(60) => return format!("{} min {} s", rounded / 60, rounded % 60),
        (601..36_000, _) if !whole(60.0) => return format_duration(Duration::from_secs(rounded)),
        _ => {}
    }
    let units = [(3600.0, "h"), (60.0, "m"), (1.0, "s")];
    let fits = |(unit, name): &&(f64, &str)| whole(*unit) || *name == "s" && seconds >= 10.0;
    let (unit, name) = units.iter().find(fits).copied().unwrap_or((1e-3, "ms"));
    let count = format!("{:.3}", seconds / unit);
    format!("{}{name}", count.trim_end_matches('0').trim_end_matches('.'))
}

impl<'de> Deserialize<'de> for DurationDef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = DurationDef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXAMPLE)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DurationDef, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for DurationDef {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|min|h)\s*$",
            "description": "A duration with its unit: 250ms, 1.5s, 2m, 1h."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let of = |text: &str| text.parse::<DurationDef>().map(|span| span.0);
        assert_eq!(of("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(of("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(of(" 2 m "), Ok(Duration::from_secs(120)));
        assert_eq!(of("1h"), Ok(Duration::from_secs(3600)));
        assert!(of("5").unwrap_err().contains("write 5s or 5ms"));
        for wrong in ["", "s", "1 fortnight", "-1s", "1e9s", "99999999h", "0s", "1.2.3s", "inf s", "NaN"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn long_durations_are_formatted_in_two_units() {
        let of = |ms: u64| format_duration(Duration::from_millis(ms));
        assert_eq!([2, 1_500, 2_000, 12_500, 90_000].map(of), ["2ms", "1500ms", "2s", "12.5s", "90s"]);
        assert_eq!([60_000, 3_000_000, 7_200_000].map(of), ["1m", "50m", "2h"]);
        assert_eq!([2_985_300, 2_985_000, 43_500_500].map(of), ["49 min 46 s", "49 min 45 s", "12 h 6 min"]);
        assert_eq!([3_599_500, 43_560_000, 43_200_000].map(of), ["1h", "12 h 6 min", "12h"]);
    }
}
