//! Errors that were written as JSON, read again.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{Error, ErrorKind};
use crate::path::Path;

#[derive(Deserialize)]
struct Written {
    kind: ErrorKind,
    message: String,
    path: Option<Path>,
    attempts: Option<u32>,
    retry_after_ms: Option<f64>,
    #[serde(default)]
    causes: Vec<Written>,
    hint: Option<String>,
    times: Option<usize>,
}

/// An error has no more than so many in it, where equal ones are written once: nothing is tried so often, and numbers that
/// were damaged must not fill the memory, nor the time of who looks at them all.
const MOST: usize = 10_000;

/// From what it is written as. The [source](Error::source) is not written, nor is what was said by
/// [`transient`](Error::transient) and [`permanent`](Error::permanent): the kind decides.
impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        Ok(Error::from_written(written, &mut MOST.clone()))
    }
}

impl Error {
    /// `room` is for so many more of them.
    fn from_written(written: Written, room: &mut usize) -> Self {
        *room = room.saturating_sub(1);
        let error = Error::new(written.kind, written.message).with_attempts(written.attempts.unwrap_or(1).max(1));
        let wait = written.retry_after_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
        let mut causes = Vec::with_capacity(written.causes.len());
        for cause in written.causes {
            let (times, before) = (cause.times.unwrap_or(1).max(1), *room);
            let cause = Error::from_written(cause, room);
            let size = (before - *room).max(1);
            let more = (times - 1).min(*room / size);
            *room -= more * size;
            causes.extend(std::iter::repeat_n(cause, 1 + more));
        }
        error.edit(|inner| {
            inner.path = written.path;
            inner.causes = causes;
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
        let cause = Error::new(ErrorKind::Overloaded, "busy").with_retry_after(Duration::from_millis(1500));
        let error = Error::new(ErrorKind::AllFailed, "gave up")
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

    #[test]
    fn numbers_that_were_damaged_make_no_more_errors_than_there_may_be() {
        fn size(error: &Error) -> usize {
            1 + error.causes().iter().map(size).sum::<usize>()
        }
        let nested = |times: u64, cause: &str| {
            format!(r#"{{"kind":"failed","message":"m","times":{times},"causes":[{cause}]}}"#)
        };
        let read = |text: &str| size(&serde_json::from_str(text).unwrap());
        let leaf = |times: u64| format!(r#"{{"kind":"failed","message":"m","times":{times}}}"#);
        assert_eq!(read(&nested(1, &nested(3, &leaf(4)))), 1 + 3 * 5);
        assert_eq!(read(&nested(1, &leaf(u64::MAX))), MOST);
        for times in [70, 10_000, u64::MAX] {
            let all = read(&nested(1, &nested(times, &nested(times, &leaf(times)))));
            assert!(all <= MOST, "{times}: {all}");
        }
    }
}
