//! Errors that were written as JSON, read again.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{Error, Kind};
use crate::path::Path;

#[derive(Deserialize)]
struct Written {
    kind: Kind,
    message: String,
    path: Option<Path>,
    attempts: Option<u32>,
    retry_after_ms: Option<f64>,
    #[serde(default)]
    causes: Vec<Written>,
    hint: Option<String>,
    times: Option<usize>,
}

/// Nothing is tried so often; a number that was damaged must not fill the memory.
const MOST_TIMES: usize = 10_000;

/// From what it is written as. The [source](Error::source) is not written, nor is what was said by
/// [`transient`](Error::transient) and [`permanent`](Error::permanent): the kind decides.
impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer).map(Error::from_written)
    }
}

impl Error {
    fn from_written(written: Written) -> Self {
        let error = Error::new(written.kind, written.message).with_attempts(written.attempts.unwrap_or(1).max(1));
        let wait = written.retry_after_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
        let causes = written.causes.into_iter().flat_map(|cause| {
            let times = cause.times.unwrap_or(1).clamp(1, MOST_TIMES);
            std::iter::repeat_n(Error::from_written(cause), times)
        });
        error.edit(|inner| {
            inner.path = written.path;
            inner.causes = causes.collect();
            inner.hint = written.hint.map(Cow::Owned);
            inner.retry_after = wait;
            inner.transient = wait.map(|_| true);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_alike() {
        let cause = Error::new(Kind::Overloaded, "busy").with_retry_after(Duration::from_millis(1500));
        let error = Error::new(Kind::Exhausted, "gave up")
            .with_causes(vec![cause, Error::failed("no")])
            .with_attempts(3)
            .with_hint("wait")
            .at(|| Path::from("flow.step"));
        let text = serde_json::to_string(&error).unwrap();
        let read: Error = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert!(read.causes()[0].is_transient());
        assert!(serde_json::from_str::<Error>(r#"{"kind":"unheard_of","message":""}"#).is_err());
    }
}
