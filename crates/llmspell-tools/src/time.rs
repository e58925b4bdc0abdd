//! `time`: the clock, and arithmetic with times.

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
    /// What is done. The default is `now`.
    #[serde(default)]
    action: Action,
    /// The time to begin with; now, if it is left out. Text such as `2024-05-01T12:00:00+02:00`, `2024-05-01 12:00`,
    /// `2024-05-01` or `Wed, 1 May 2024 12:00:00 GMT`, or a number of seconds since 1970.
    at: Option<Value>,
    /// How the text of `at` is to be read, if not in one of these forms: `%d.%m.%Y %H:%M`, as strptime has it.
    pattern: Option<String>,
    /// The zone in which times are told, and in which those without an offset are read: `Europe/Berlin`, `+02:00`. The
    /// default is UTC.
    zone: Option<String>,
    /// How the time is written, if the action is `format`: `%A, %-d %B %Y`, as strftime has it.
    format: Option<String>,
    /// What is added, if the action is `add`: `1 month`, `-2 days 3 hours`, or `P1M` as ISO 8601 has it. Months and days
    /// are those of the calendar of the zone.
    add: Option<String>,
    /// The time at the other end, if the action is `difference`; now, if it is left out.
    to: Option<Value>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(rename_all = "lowercase")]
enum Action {
    /// The time now.
    #[default]
    Now,
    /// The time `at`.
    Parse,
    /// The time `at` as text.
    Format,
    /// The time `at`, later or earlier.
    Add,
    /// From `at` to `to`.
    Difference,
}

/// The tool.
pub(crate) fn time() -> DynTool {
    let description = "Tells the time, reads and writes times, adds to them and takes differences. Gives { iso, unix, date, \
                       time, weekday, zone }, text (format), or { seconds, iso, text } (difference).";
    Tool::new("time", description, |time: Time, _: Context| async move { time.told(Timestamp::now()) }).erase()
}

impl Time {
    fn told(&self, now: Timestamp) -> Result<Value> {
        self.fits()?;
        let zone = self.zone.as_deref().map_or(Ok(TimeZone::UTC), zone)?;
        let at = self.read(self.at.as_ref(), now, &zone)?;
        match self.action {
            Action::Now | Action::Parse => Ok(described(&at)),
            Action::Format => {
                let format = self.format.as_deref().unwrap_or_default();
                let text = strtime::format(format, &at).map_err(|error| {
                    let error = Error::invalid(format!("`{format}` cannot be written: {error}")).with_source(error);
                    error.with_hint("write it as `%Y-%m-%d %H:%M:%S`")
                });
                text.map(Value::String)
            }
            Action::Add => {
                let add = self.add.as_deref().unwrap_or_default();
                let span: Span = add.parse().map_err(|error: jiff::Error| {
                    let error = Error::invalid(format!("`{add}` is no span of time: {error}")).with_source(error);
                    error.with_hint("write it as `1 month`, `-2 days 3 hours` or `P1M`")
                })?;
                Ok(described(&at.checked_add(span).map_err(out_of_range)?))
            }
            Action::Difference => {
                let to = self.read(self.to.as_ref(), now, &zone)?;
                let seconds = to.timestamp().duration_since(at.timestamp()).as_secs_f64();
                let span = at.until((Unit::Year, &to)).map_err(out_of_range)?;
                Ok(json!({ "seconds": seconds, "iso": span.to_string(), "text": format!("{span:#}") }))
            }
        }
    }

    /// Whether what is given belongs to what is done.
    fn fits(&self) -> Result<()> {
        let given = [
            ("at", self.at.is_some(), self.action != Action::Now, self.action == Action::Parse),
            ("format", self.format.is_some(), self.action == Action::Format, true),
            ("add", self.add.is_some(), self.action == Action::Add, true),
            ("to", self.to.is_some(), self.action == Action::Difference, false),
            ("pattern", self.pattern.is_some(), self.action != Action::Now, false),
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
            error.with_hint("write it as `2024-05-01T12:00:00Z`, or say by `pattern` how it is to be read")
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

/// The forms that say what they are.
fn known_form(text: &str, zone: &TimeZone) -> Option<Zoned> {
    let zoned = || text.parse::<Zoned>().ok().map(|time| time.with_time_zone(zone.clone()));
    let stamp = || text.parse::<Timestamp>().ok().map(|time| time.to_zoned(zone.clone()));
    let mail = || rfc2822::parse(text).ok().map(|time| time.with_time_zone(zone.clone()));
    let civil = || text.parse::<civil::DateTime>().ok()?.to_zoned(zone.clone()).ok();
    zoned().or_else(stamp).or_else(mail).or_else(civil)
}

fn by_pattern(text: &str, pattern: &str, zone: &TimeZone) -> Result<Zoned> {
    let wrong = |error: jiff::Error| {
        let error = Error::invalid(format!("`{text}` does not fit `{pattern}`: {error}")).with_source(error);
        error.with_hint("patterns are those of strptime, such as `%d.%m.%Y %H:%M`")
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
        let error = Error::invalid(format!("there is no time zone `{name}`"));
        error.with_hint("name it as `Europe/Berlin`, or by its offset, as in `+02:00`")
    })
}

fn described(time: &Zoned) -> Value {
    let iso = time.timestamp().display_with_offset(time.offset()).to_string();
    let zone = time.time_zone().iana_name().map_or_else(|| time.offset().to_string(), str::to_owned);
    let stamp = time.timestamp();
    let unix = if stamp.subsec_nanosecond() == 0 {
        json!(stamp.as_second())
    } else {
        json!(stamp.as_duration().as_secs_f64())
    };
    json!({
        // Without the name of the zone, which few others read.
        "iso": iso,
        "unix": unix,
        "date": time.date().to_string(),
        "time": time.time().to_string(),
        "weekday": strtime::format("%A", time).unwrap_or_default(),
        "zone": zone,
    })
}

fn out_of_range(error: jiff::Error) -> Error {
    Error::invalid(format!("this time cannot be: {error}")).with_source(error)
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
            let told = call(json!({ "action": "parse", "at": at, "zone": "Europe/Berlin" })).await;
            assert_eq!(told.as_ref().ok(), Some(&wanted), "{at}: {told:?}");
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
        // The night in which clocks go forward has 23 hours.
        let add = |span: &str| json!({ "action": "add", "at": at, "add": span, "zone": "Europe/Berlin" });
        assert_eq!(call(add("1 day")).await.unwrap()["iso"], "2024-03-31T12:00:00+02:00");
        assert_eq!(call(add("24 hours")).await.unwrap()["iso"], "2024-03-31T13:00:00+02:00");
        assert_eq!(call(add("-P1M")).await.unwrap()["date"], "2024-02-29");
        let difference = json!({ "action": "difference", "at": "2024-01-31", "to": "2024-03-01T00:00:01Z" });
        let told = call(difference).await.unwrap();
        assert_eq!((&told["seconds"], &told["iso"]), (&json!(2_592_001.0), &json!("P1M1DT1S")));
        assert_eq!(told["text"], "1mo 1d 1s");
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
