//! The `Retry-After` header: seconds, or a date.

use std::time::{Duration, SystemTime};

/// How long the server asks to be left alone.
pub(super) fn wait(value: &str) -> Option<Duration> {
    let value = value.trim();
    match value.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
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
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(until("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(until("Sun, 06 Nov 1994 08:49:07 GMT", now), Some(Duration::ZERO));
    }
}
