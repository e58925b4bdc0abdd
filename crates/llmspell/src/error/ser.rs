//! Errors as JSON. Attempts tend to fail alike, so consecutive equal errors are written once, with a count.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::Error;

/// A list of errors in which consecutive equal ones are written once.
pub(super) struct Grouped<'a>(pub(super) &'a [Error]);

impl Serialize for Grouped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(grouped(self.0).into_iter().map(|(error, times)| Repeated { error, times }))
    }
}

struct Repeated<'a> {
    error: &'a Error,
    times: usize,
}

impl Serialize for Repeated<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        one(self.error, self.times, serializer)
    }
}

pub(super) fn one<S: Serializer>(error: &Error, times: usize, serializer: S) -> Result<S::Ok, S::Error> {
    let mut out = serializer.serialize_struct("Error", 8)?;
    out.serialize_field("kind", &error.kind())?;
    out.serialize_field("message", error.message())?;
    if let Some(path) = error.path() {
        out.serialize_field("path", path)?;
    }
    if error.attempts() > 1 {
        out.serialize_field("attempts", &error.attempts())?;
    }
    if let Some(wait) = error.retry_after() {
        out.serialize_field("retry_after_ms", &(wait.as_secs_f64() * 1e3))?;
    }
    if !error.causes().is_empty() {
        out.serialize_field("causes", &Grouped(error.causes()))?;
    }
    if let Some(hint) = error.hint() {
        out.serialize_field("hint", hint)?;
    }
    if times > 1 {
        out.serialize_field("times", &times)?;
    }
    out.end()
}

/// Returns each error with the number of its consecutive repetitions.
pub(super) fn grouped(errors: &[Error]) -> Vec<(&Error, usize)> {
    let mut all: Vec<(&Error, usize)> = Vec::new();
    for error in errors {
        match all.last_mut() {
            Some((last, times)) if is_equal(last, error) => *times += 1,
            _ => all.push((error, 1)),
        }
    }
    all
}

/// Whether both are written alike, and their sources have the same text.
fn is_equal(one: &Error, other: &Error) -> bool {
    let head = |error: &Error| (error.kind(), error.attempts(), error.retry_after());
    let (causes, others) = (one.causes(), other.causes());
    head(one) == head(other)
        && one.message() == other.message()
        && one.path() == other.path()
        && one.hint() == other.hint()
        && causes.len() == others.len()
        && causes.iter().zip(others).all(|(one, other)| is_equal(one, other))
        && one.source().map(ToString::to_string) == other.source().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn consecutive_equal_errors_are_written_once() {
        let no = || Error::failed("no");
        let error =
            Error::new(ErrorKind::AllFailed, "in vain").with_causes(vec![no(), no(), Error::denied("no"), no()]);
        let json = serde_json::to_value(&error).unwrap();
        let causes = serde_json::json!([
            { "kind": "failed", "message": "no", "times": 2 },
            { "kind": "denied", "message": "no" },
            { "kind": "failed", "message": "no" },
        ]);
        assert_eq!(json["causes"], causes);
        assert_eq!(serde_json::to_value(Error::grouped(error.causes())).unwrap(), causes);
        assert_eq!(format!("{error:#}"), "in vain\n  - 2 × no\n  - no\n  - no");
        let read: Error = serde_json::from_value(json).unwrap();
        assert_eq!(read.causes().len(), 4);
    }
}
