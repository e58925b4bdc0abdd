//! The `Retry-After` header: seconds, which may have a fraction, or an HTTP date.
//!
//! The crates for models and MCP repeat these few lines. The only crate that all three share is the core, which must
//! not know HTTP, so only the date parser is shared.

use std::time::{Duration, SystemTime};

/// Returns how long the server asks clients to wait.
pub(super) fn wait(value: &str) -> Option<Duration> {
    let value = value.trim();
    match value.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => until(value, SystemTime::now()),
    }
}

/// A date in the past asks for no wait.
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
