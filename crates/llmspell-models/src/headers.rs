//! The headers of a response: the time to retry, the remaining quota, and the request id.

use std::time::{Duration, SystemTime};

use llmspell::observe::{RateLimits, RateWindow};
use reqwest::header::HeaderMap;

/// How long the server asks to be left alone: `retry-after-ms`, or `Retry-After` in seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let millis = text(headers, "retry-after-ms").and_then(|value| value.parse().ok());
    if let Some(wait) = millis.and_then(|millis: f64| seconds(millis / 1e3)) {
        return Some(wait);
    }
    let value = text(headers, "retry-after")?;
    match value.parse() {
        Ok(number) => seconds(number),
        Err(_) => httpdate::parse_http_date(value).ok().map(|date| date.duration_since(now).unwrap_or_default()),
    }
}

/// The remaining quota, in the headers of OpenAI and compatible servers
/// (`x-ratelimit-remaining-requests`) or of Anthropic (`anthropic-ratelimit-requests-remaining`).
pub(crate) fn rate_limits(headers: &HeaderMap, now: SystemTime) -> Option<RateLimits> {
    let window = |limit: String, remaining: String, reset: String| {
        let limit = text(headers, &limit)?.parse().ok()?;
        let remaining = text(headers, &remaining)?.parse().ok()?;
        Some(RateWindow::new(limit, remaining, until(text(headers, &reset)?, now)?))
    };
    let openai = |what: &str| {
        let name = |part: &str| format!("x-ratelimit-{part}-{what}");
        window(name("limit"), name("remaining"), name("reset"))
    };
    let anthropic = |what: &str| {
        let name = |part: &str| format!("anthropic-ratelimit-{what}-{part}");
        window(name("limit"), name("remaining"), name("reset"))
    };
    let mut limits = RateLimits::default();
    if let Some(requests) = openai("requests").or_else(|| anthropic("requests")) {
        limits = limits.requests(requests);
    }
    if let Some(tokens) = openai("tokens").or_else(|| anthropic("tokens")).or_else(|| anthropic("input-tokens")) {
        limits = limits.tokens(tokens);
    }
    (limits != RateLimits::default()).then_some(limits)
}

/// The provider's name for the request.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let known = ["x-request-id", "request-id", "x-goog-request-id"];
    known.iter().find_map(|name| text(headers, name)).map(str::to_owned)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}

/// A time in the forms that the headers have it: `6m0s`, `120ms`, `58` (seconds), `2026-11-22T15:04:05Z`.
fn until(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(number) = value.parse() {
        return seconds(number);
    }
    if value.contains('T') {
        return Some(rfc3339(value)?.duration_since(now).unwrap_or_default());
    }
    span(value)
}

/// A span as Go writes it: `1h2m3.5s`, `120ms`.
fn span(mut rest: &str) -> Option<Duration> {
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        sum += number
            * match &tail[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                _ => return None,
            };
        rest = &tail[unit..];
    }
    seconds(sum)
}

/// `2026-11-22T15:04:05Z`, with or without a fraction, or with an offset such as `+01:00`.
fn rfc3339(value: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| value.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1970..=9999).contains(&year) {
        return None;
    }
    let zone = value.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let minutes = zone.get(1..3)?.parse::<i64>().ok()? * 60 + zone.get(4..6)?.parse::<i64>().ok()?;
            if *sign == b'+' { minutes * 60 } else { -minutes * 60 }
        }
        _ => return None,
    };
    // Days since 1970 in the proleptic Gregorian calendar: H. Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = if month <= 2 { year - 1 } else { year };
    let of_era = shifted % 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted / 400 * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let stamp = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(stamp.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(all: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        all.iter().map(pair).collect()
    }

    fn at(stamp: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(stamp)
    }

    #[test]
    fn all_forms_of_retry_after_are_understood() {
        let now = at(784_111_777);
        let wait = |name, value| retry_after(&headers(&[(name, value)]), now);
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("retry-after", "0.25"), Some(Duration::from_millis(250)));
        assert_eq!(wait("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("retry-after-ms", "350"), Some(Duration::from_millis(350)));
        assert_eq!(wait("retry-after", "soon"), None);
        assert_eq!(wait("retry-after", "-1"), None);
        assert_eq!(wait("retry-after", "1e300"), None);
        let both = headers(&[("retry-after", "1"), ("retry-after-ms", "350")]);
        assert_eq!(retry_after(&both, now), Some(Duration::from_millis(350)));
    }

    #[test]
    fn what_is_left_is_understood_in_both_dialects() {
        let openai = headers(&[
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-remaining-requests", "12"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-limit-tokens", "30000"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m1.5s"),
        ]);
        let told = RateLimits::default()
            .requests(RateWindow::new(500, 12, Duration::from_millis(120)))
            .tokens(RateWindow::new(30_000, 0, Duration::from_millis(361_500)));
        assert_eq!(rate_limits(&openai, at(0)), Some(told));
        let anthropic = headers(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "1994-11-06T08:50:07Z"),
        ]);
        let told = RateLimits::default().requests(RateWindow::new(50, 49, Duration::from_secs(30)));
        assert_eq!(rate_limits(&anthropic, at(784_111_777)), Some(told));
        assert_eq!(rate_limits(&headers(&[("x-ratelimit-limit-requests", "500")]), at(0)), None);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(rfc3339("1970-01-01T00:00:00Z"), Some(at(0)));
        assert_eq!(rfc3339("2000-02-29T12:00:00.25Z"), Some(at(951_825_600)));
        assert_eq!(rfc3339("2026-11-22T16:04:05+01:00"), Some(at(1_795_359_845)));
        assert_eq!(rfc3339("2026-13-22T16:04:05Z"), None);
        assert_eq!(rfc3339("2026-11-22T16:04:05"), None);
    }
}
