//! Errors from JSON.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::{Error, ErrorKind};
use crate::path::Path;

/// The JSON form of an error.
#[derive(Deserialize)]
struct ErrorDef {
    kind: ErrorKind,
    message: String,
    path: Option<Path>,
    attempts: Option<u32>,
    retry_after_ms: Option<f64>,
    #[serde(default)]
    causes: Vec<ErrorDef>,
    hint: Option<String>,
    times: Option<usize>,
}

/// An error is read with at most this many errors in it. Equal errors are written once with a count, and a damaged count
/// must not fill memory; nothing is tried this often.
const MAX_ERRORS: usize = 10_000;

/// Reads the form that [`Serialize`](serde::Serialize) writes. The [source](Error::source) and the marks of
/// [`transient`](Error::transient) and [`permanent`](Error::permanent) are not written: the kind decides.
impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut room = MAX_ERRORS;
        ErrorDef::deserialize(deserializer).map(|def| Error::from_def(def, &mut room))
    }
}

impl Error {
    /// Converts `def` and its causes; `room` is how many more errors may be created.
    fn from_def(def: ErrorDef, room: &mut usize) -> Self {
        *room = room.saturating_sub(1);
        let error = Error::new(def.kind, def.message).with_attempts(def.attempts.unwrap_or(1).max(1));
        let wait = def.retry_after_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
        let mut causes = Vec::with_capacity(def.causes.len());
        for cause in def.causes {
            let (times, room_before) = (cause.times.unwrap_or(1).max(1), *room);
            let cause = Error::from_def(cause, room);
            let size = (room_before - *room).max(1);
            let more = (times - 1).min(*room / size);
            *room -= more * size;
            causes.extend(std::iter::repeat_n(cause, 1 + more));
        }
        error.edit(|data| {
            data.path = def.path;
            data.causes = causes;
            data.hint = def.hint.map(Cow::Owned);
            data.retry_after = wait;
            data.transient = wait.map(|_| true);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_same_name_in_json_and_in_messages() {
        for kind in [
            ErrorKind::Failed,
            ErrorKind::Invalid,
            ErrorKind::Timeout,
            ErrorKind::Cancelled,
            ErrorKind::Panicked,
            ErrorKind::Rejected,
            ErrorKind::Overloaded,
            ErrorKind::Denied,
            ErrorKind::AllFailed,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn errors_survive_json() {
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
    fn damaged_counts_do_not_exceed_the_maximum_of_errors() {
        fn size(error: &Error) -> usize {
            1 + error.causes().iter().map(size).sum::<usize>()
        }
        let nested = |times: u64, cause: &str| {
            format!(r#"{{"kind":"failed","message":"m","times":{times},"causes":[{cause}]}}"#)
        };
        let read = |text: &str| size(&serde_json::from_str(text).unwrap());
        let leaf = |times: u64| format!(r#"{{"kind":"failed","message":"m","times":{times}}}"#);
        assert_eq!(read(&nested(1, &nested(3, &leaf(4)))), 1 + 3 * 5);
        assert_eq!(read(&nested(1, &leaf(u64::MAX))), MAX_ERRORS);
        for times in [70, 10_000, u64::MAX] {
            let all = read(&nested(1, &nested(times, &nested(times, &leaf(times)))));
            assert!(all <= MAX_ERRORS, "{times}: {all}");
        }
    }
}
