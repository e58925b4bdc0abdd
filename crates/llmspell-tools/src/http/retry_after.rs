//! The `Retry-After` header: seconds, which may have a fraction, or a date.
//!
//! What reads answers of models and of MCP servers has the same few lines. All that the three share is the core, which
//! knows no HTTP; so the parser of dates is shared, and nothing else.

use std::time::{Duration, SystemTime};

/// How long the server asks to be left alone.
pub(super) fn wait(value: &str) -> Option<Duration> {
    let value = value.trim();
    match value.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => until(value, SystemTime::now()),
    }
}

/// A date that has passed asks for no wait.
fn until(date: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(date).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(wait(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(wait("0.25"), Some(Duration::from_millis(250)));
        for nothing in ["soon", "-1", "1e300", "NaN", "inf"] {
            assert_eq!(wait(nothing), None, "{nothing}");
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(until("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(until("Sun, 06 Nov 1994 08:49:07 GMT", now), Some(Duration::ZERO));
    }
}
