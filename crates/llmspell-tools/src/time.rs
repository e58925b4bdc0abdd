//! `time`: the clock and date arithmetic.

use jiff::fmt::{rfc2822, strtime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp, Unit, Zoned, civil};
use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Context, Error, Result, Tool};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct Time {
    /// The action. The default is `now`.
    #[serde(default)]
    action: TimeAction,
    /// The time to start from; the default is now. Text such as `2024-05-01T12:00:00+02:00`, `2024-05-01 12:00`,
    /// `2024-05-01` or `Wed, 1 May 2024 12:00:00 GMT`, or a number of seconds since 1970.
    at: Option<Value>,
    /// The strptime format of the text in `at`, if it has none of these forms: `%d.%m.%Y %H:%M`.
    pattern: Option<String>,
    /// The time zone of results, and of times without an offset: `Europe/Berlin`, `+02:00`. The default is UTC.
    zone: Option<String>,
    /// The strftime format of the result, for the action `format`: `%A, %-d %B %Y`.
    format: Option<String>,
    /// The duration to add, for the action `add`: `1 month`, `-2 days 3 hours`, or ISO 8601 such as `P1M`. Months and
    /// days are calendar units of the zone.
    add: Option<String>,
    /// The end time, for the action `difference`; the default is now.
    to: Option<Value>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "lowercase")]
enum TimeAction {
    /// The current time.
    #[default]
    Now,
    /// The time `at`.
    Parse,
    /// The time `at` as text.
    Format,
    /// The time `at` plus a duration.
    Add,
    /// The duration from `at` to `to`.
    Difference,
}

/// Returns the tool.
pub(crate) fn time() -> DynTool {
    let description = "Tells the time, reads and writes times, adds to them and takes differences. Gives { iso, unix, date, \
                       time, weekday, zone }, text (format), or { seconds, iso, text } (difference).";
    Tool::new("time", description, |time: Time, _: Context| async move { time.run(Timestamp::now()) }).erase()
}

impl Time {
    fn run(&self, now: Timestamp) -> Result<Value> {
        self.fits()?;
        let zone = self.zone.as_deref().map_or(Ok(TimeZone::UTC), zone)?;
        let at = self.read(self.at.as_ref(), now, &zone)?;
        match self.action {
            TimeAction::Now | TimeAction::Parse => Ok(parts_of(&at)),
            TimeAction::Format => {
                let format = self.format.as_deref().unwrap_or_default();
                let text = strtime::format(format, &at).map_err(|error| {
                    let error = Error::invalid(format!("`{format}` cannot be written: {error}")).with_source(error);
                    error.with_hint("write it as `%Y-%m-%d %H:%M:%S`")
                });
                text.map(Value::String)
            }
            TimeAction::Add => {
                let add = self.add.as_deref().unwrap_or_default();
                let span: Span = add.parse().map_err(|error: jiff::Error| {
                    let error = Error::invalid(format!("`{add}` is not a duration: {error}")).with_source(error);
                    error.with_hint("write it as `1 month`, `-2 days 3 hours` or `P1M`")
                })?;
                Ok(parts_of(&at.checked_add(span).map_err(out_of_range)?))
            }
            TimeAction::Difference => {
                let to = self.read(self.to.as_ref(), now, &zone)?;
                let seconds = to.timestamp().duration_since(at.timestamp()).as_secs_f64();
                let span = at.until((Unit::Year, &to)).map_err(out_of_range)?;
                Ok(json!({ "seconds": seconds, "iso": span.to_string(), "text": format!("{span:#}") }))
            }
        }
    }

    /// Checks that the given arguments belong to the action.
    fn fits(&self) -> Result<()> {
        let given = [
            ("at", self.at.is_some(), self.action != TimeAction::Now, self.action == TimeAction::Parse),
            ("format", self.format.is_some(), self.action == TimeAction::Format, true),
            ("add", self.add.is_some(), self.action == TimeAction::Add, true),
            ("to", self.to.is_some(), self.action == TimeAction::Difference, false),
            ("pattern", self.pattern.is_some(), self.action != TimeAction::Now, false),
        ];
        for (name, given, belongs, needed) in given {
            if given && !belongs {
                let error = Error::invalid(format!("`{name}` does not belong to this `action`"));
                return Err(error.with_hint("the actions are now, parse, format, add and difference"));
            }
            if belongs && needed && !given {
                return Err(Error::invalid(format!("this `action` needs `{name}`")));
            }
        }
        Ok(())
    }

    fn read(&self, at: Option<&Value>, now: Timestamp, zone: &TimeZone) -> Result<Zoned> {
        let wrong = || {
            let error = Error::invalid(format!("{} is not a time", at.unwrap_or(&Value::Null)));
            error.with_hint("write it as `2024-05-01T12:00:00Z`, or give its format in `pattern`")
        };
        match at {
            None => Ok(now.to_zoned(zone.clone())),
            Some(Value::Number(number)) => {
                let seconds = match number.as_i64() {
                    Some(seconds) => Timestamp::from_second(seconds),
                    None => SignedDuration::try_from_secs_f64(number.as_f64().unwrap_or(f64::NAN))
                        .and_then(Timestamp::from_duration),
                };
                Ok(seconds.map_err(out_of_range)?.to_zoned(zone.clone()))
            }
            Some(Value::String(text)) => match &self.pattern {
                Some(pattern) => by_pattern(text, pattern, zone),
                None => known_form(text.trim(), zone).ok_or_else(wrong),
            },
            Some(_) => Err(wrong()),
        }
    }
}

/// The formats that need no pattern.
fn known_form(text: &str, zone: &TimeZone) -> Option<Zoned> {
    let zoned = || text.parse::<Zoned>().ok().map(|time| time.with_time_zone(zone.clone()));
    let stamp = || text.parse::<Timestamp>().ok().map(|time| time.to_zoned(zone.clone()));
    let mail = || rfc2822::parse(text).ok().map(|time| time.with_time_zone(zone.clone()));
    let civil = || text.parse::<civil::DateTime>().ok()?.to_zoned(zone.clone()).ok();
    zoned().or_else(stamp).or_else(mail).or_else(civil)
}

fn by_pattern(text: &str, pattern: &str, zone: &TimeZone) -> Result<Zoned> {
    let wrong = |error: jiff::Error| {
        let error = Error::invalid(format!("`{text}` does not match `{pattern}`: {error}")).with_source(error);
        error.with_hint("write the pattern for strptime, such as `%d.%m.%Y %H:%M`")
    };
    let parts = strtime::parse(pattern, text).map_err(wrong)?;
    if let Ok(stamp) = parts.to_timestamp() {
        return Ok(stamp.to_zoned(zone.clone()));
    }
    let civil = parts.to_datetime().or_else(|_| parts.to_date().map(civil::Date::into)).map_err(wrong)?;
    civil.to_zoned(zone.clone()).map_err(wrong)
}

fn zone(name: &str) -> Result<TimeZone> {
    let offset = || {
        let (sign, digits) = match name.as_bytes().first()? {
            b'+' => (1, &name[1..]),
            b'-' => (-1, &name[1..]),
            _ => return None,
        };
        let (hours, minutes) = digits.split_once(':').or_else(|| digits.split_at_checked(2))?;
        let is_number = |part: &str| part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(hours) || !is_number(minutes) {
            return None;
        }
        let minutes =
            if minutes.is_empty() { 0 } else { minutes.parse::<i32>().ok().filter(|minutes| *minutes < 60)? };
        Offset::from_seconds(sign * (hours.parse::<i32>().ok()? * 60 + minutes) * 60).ok().map(TimeZone::fixed)
    };
    if name == "Z" {
        return Ok(TimeZone::UTC);
    }
    offset().or_else(|| TimeZone::get(name).ok()).ok_or_else(|| {
        let error = Error::invalid(format!("unknown time zone `{name}`"));
        error.with_hint("name it as `Europe/Berlin`, or by its offset, as in `+02:00`")
    })
}

fn parts_of(time: &Zoned) -> Value {
    let iso = time.timestamp().display_with_offset(time.offset()).to_string();
    let zone = time.time_zone().iana_name().map_or_else(|| time.offset().to_string(), str::to_owned);
    let stamp = time.timestamp();
    let unix = if stamp.subsec_nanosecond() == 0 {
        json!(stamp.as_second())
    } else {
        json!(stamp.as_duration().as_secs_f64())
    };
    json!({
        // Without the name of the zone, which few other parsers accept.
        "iso": iso,
        "unix": unix,
        "date": time.date().to_string(),
        "time": time.time().to_string(),
        "weekday": strtime::format("%A", time).unwrap_or_default(),
        "zone": zone,
    })
}

fn out_of_range(error: jiff::Error) -> Error {
    Error::invalid(format!("time out of range: {error}")).with_source(error)
}

#[cfg(test)]
mod tests {
    use llmspell::{ErrorKind, Step};

    use super::*;

    async fn call(arguments: Value) -> Result<Value> {
        time().run(arguments, &Context::new()).await
    }

    #[tokio::test]
    async fn times_are_read_in_their_forms() {
        let wanted = json!({ "iso": "2024-05-01T12:00:00+02:00", "unix": 1_714_557_600, "date": "2024-05-01",
            "time": "12:00:00", "weekday": "Wednesday", "zone": "Europe/Berlin" });
        for at in [
            json!("2024-05-01T10:00:00Z"),
            json!("2024-05-01T12:00:00+02:00"),
            json!("2024-05-01T12:00:00+02:00[Europe/Berlin]"),
            json!("2024-05-01 12:00"),
            json!("Wed, 01 May 2024 10:00:00 GMT"),
            json!(1_714_557_600),
            json!(1_714_557_600.0),
        ] {
            let parsed = call(json!({ "action": "parse", "at": at, "zone": "Europe/Berlin" })).await;
            assert_eq!(parsed.as_ref().ok(), Some(&wanted), "{at}: {parsed:?}");
        }
        let german = json!({ "action": "parse", "at": "01.05.2024", "pattern": "%d.%m.%Y", "zone": "+02:00" });
        assert_eq!(call(german).await.unwrap()["iso"], "2024-05-01T00:00:00+02:00");
        let half = call(json!({ "action": "parse", "at": 0.5 })).await.unwrap();
        assert_eq!((&half["unix"], &half["iso"]), (&json!(0.5), &json!("1970-01-01T00:00:00.5+00:00")));
        let now = call(json!({})).await.unwrap();
        assert!(now["unix"].as_f64().unwrap() > 1.7e9, "{now}");
    }

    #[tokio::test]
    async fn times_are_written_added_to_and_compared() {
        let at = "2024-03-30T12:00:00+01:00";
        let format =
            json!({ "action": "format", "at": at, "format": "%A, %-d %B %Y, %H:%M %Z", "zone": "America/New_York" });
        assert_eq!(call(format).await.unwrap(), "Saturday, 30 March 2024, 07:00 EDT");
        // The day on which clocks go forward has 23 hours.
        let add = |span: &str| json!({ "action": "add", "at": at, "add": span, "zone": "Europe/Berlin" });
        assert_eq!(call(add("1 day")).await.unwrap()["iso"], "2024-03-31T12:00:00+02:00");
        assert_eq!(call(add("24 hours")).await.unwrap()["iso"], "2024-03-31T13:00:00+02:00");
        assert_eq!(call(add("-P1M")).await.unwrap()["date"], "2024-02-29");
        let difference = json!({ "action": "difference", "at": "2024-01-31", "to": "2024-03-01T00:00:01Z" });
        let duration = call(difference).await.unwrap();
        assert_eq!((&duration["seconds"], &duration["iso"]), (&json!(2_592_001.0), &json!("P1M1DT1S")));
        assert_eq!(duration["text"], "1mo 1d 1s");
        let back = json!({ "action": "difference", "at": "2024-01-02", "to": "2024-01-01" });
        assert_eq!(call(back).await.unwrap()["seconds"], -86_400.0);
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused() {
        for wrong in [
            json!({ "action": "parse" }),
            json!({ "action": "parse", "at": "soon" }),
            json!({ "action": "parse", "at": "2024-02-30" }),
            json!({ "action": "parse", "at": [1] }),
            json!({ "action": "parse", "at": 1e300 }),
            json!({ "action": "parse", "at": i64::MAX }),
            json!({ "action": "parse", "at": "1", "pattern": "%Y-%m" }),
            json!({ "action": "format" }),
            json!({ "action": "format", "format": "%!" }),
            json!({ "action": "add", "add": "soon" }),
            json!({ "action": "add", "add": "30000 years" }),
            json!({ "zone": "Europe/Berlyn" }),
            json!({ "zone": "+25:99" }),
            json!({ "zone": "+ä" }),
            json!({ "at": "2024-01-01" }),
            json!({ "action": "parse", "at": 1, "add": "1 day" }),
        ] {
            let error = call(wrong.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}: {error}");
        }
    }
}
