//! What went wrong, where, and what to do about it.
//!
//! [`Error`] is one concrete type for the whole library: a pointer to clone, with the step path it
//! happened at, the error it came from, and every cause that was collected on the way (all attempts of
//! a retry, all contenders of a race). `?` turns any standard error into one.

mod de;
mod ser;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, Serializer};

use crate::path::Path;

/// `std::result::Result` with [`Error`] as its default error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an [`Error`]: what a caller decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The step ran and failed.
    Failed,
    /// The input or the configuration cannot be accepted; running again will not help.
    Invalid,
    /// A timeout or a deadline passed.
    Timeout,
    /// The work was stopped by its owner: a sibling failed, a race was lost, a run was interrupted.
    Cancelled,
    /// The step panicked. The panic is contained: it is the error of this one call.
    Panicked,
    /// Admission was refused before the step ran.
    Rejected,
    /// The other side has more to do than it can: too many requests (429), out of capacity (503, 529). Slowing
    /// down helps.
    Overloaded,
    /// The other side refuses whoever asks like this: no credentials, no money (401, 402). No
    /// other call will fare better until somebody does something about it.
    Denied,
    /// Everything that was to be tried has failed; see [`Error::causes`].
    AllFailed,
}

impl ErrorKind {
    /// The name used in JSON and in messages, such as `timeout`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Failed => "failed",
            ErrorKind::Invalid => "invalid",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Panicked => "panicked",
            ErrorKind::Rejected => "rejected",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Denied => "denied",
            ErrorKind::AllFailed => "exhausted",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of every step. Cheap to clone, and one pointer wide.
///
/// An error is *transient* if trying again may help: timeouts and overload are, and whatever was marked with
/// [`Error::transient`] or carries a [`Error::retry_after`]. Errors that `?` converts are not, because
/// nothing is known about them; see [`Retry::when`](crate::Retry::when) to classify them in one place.
///
/// `{}` prints one line, `{:#}` the whole story: sources, causes and the hint.
///
/// ```
/// use llmspell::{Error, ErrorKind};
///
/// fn parse(text: &str) -> llmspell::Result<u32> {
///     Ok(text.parse::<u32>()?)
/// }
/// let error = parse("seven").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Failed);
/// assert!(!error.is_transient());
///
/// let busy = Error::failed("503 Service Unavailable").transient().with_hint("lower the limit");
/// assert!(busy.is_transient());
/// assert_eq!(format!("{busy:#}"), "503 Service Unavailable\nhint: lower the limit");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    path: Option<Path>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    causes: Vec<Error>,
    transient: Option<bool>,
    retry_after: Option<Duration>,
    attempts: u32,
    hint: Option<Cow<'static, str>>,
    /// Whether the call that it stands for was never made.
    not_started: bool,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error(Arc::new(Inner {
            kind,
            message: message.into(),
            path: None,
            source: None,
            causes: Vec::new(),
            transient: None,
            retry_after: None,
            attempts: 1,
            hint: None,
            not_started: false,
        }))
    }

    /// A step that ran and failed ([`ErrorKind::Failed`]).
    pub fn failed(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Failed, message)
    }

    /// Input or configuration that cannot be accepted ([`ErrorKind::Invalid`]).
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Invalid, message)
    }

    /// The other side has too much to do ([`ErrorKind::Overloaded`]); say when to come back with
    /// [`Error::with_retry_after`], if it is known. [Transient](Error::is_transient).
    pub fn overloaded(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Overloaded, message)
    }

    /// The other side will have none of this caller ([`ErrorKind::Denied`]).
    pub fn denied(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Denied, message)
    }

    /// One error out of everything that failed. A single cause stays itself; of several, the kind is
    /// [`ErrorKind::AllFailed`] and all of them are kept.
    pub(crate) fn exhausted(message: impl Into<Cow<'static, str>>, mut causes: Vec<Error>) -> Self {
        if causes.len() == 1 {
            return causes.remove(0);
        }
        Error::new(ErrorKind::AllFailed, message).with_causes(causes)
    }

    /// Marks the error as worth another attempt.
    pub fn transient(self) -> Self {
        self.edit(|inner| inner.transient = Some(true))
    }

    /// Marks the error as final: no retry will help.
    pub fn permanent(self) -> Self {
        self.edit(|inner| inner.transient = Some(false))
    }

    /// Says when another attempt may be made, as a server does with `Retry-After`. Implies
    /// [`Error::transient`].
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.edit(|inner| {
            inner.retry_after = Some(wait);
            inner.transient.get_or_insert(true);
        })
    }

    /// Says what the user can do about it.
    pub fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.edit(|inner| inner.hint = Some(hint.into()))
    }

    /// Keeps the error this one came from.
    pub fn with_source(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.edit(|inner| inner.source = Some(Arc::new(source)))
    }

    /// Keeps the failures that led to this one, in the order in which they happened.
    pub fn with_causes(self, causes: Vec<Error>) -> Self {
        self.edit(|inner| inner.causes = causes)
    }

    pub(crate) fn with_attempts(self, attempts: u32) -> Self {
        self.edit(|inner| inner.attempts = attempts)
    }

    /// Names the step this happened at, unless a step further in has done so.
    pub(crate) fn at(self, path: impl FnOnce() -> Path) -> Self {
        if self.0.path.is_some() {
            return self;
        }
        let path = path();
        if path.is_root() {
            return self;
        }
        self.edit(|inner| inner.path = Some(path))
    }

    /// The same error with another message, such as one that says which part of the work it concerns.
    pub fn with_message(self, message: impl Into<Cow<'static, str>>) -> Self {
        self.edit(|inner| inner.message = message.into())
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without the path.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it happened; `None` if no step around it has a name.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_ref()
    }

    /// The error that tells what this one comes down to: itself, or the last cause of what was tried in vain
    /// ([`ErrorKind::AllFailed`]).
    pub fn root_cause(&self) -> &Error {
        match (self.kind(), self.causes().last()) {
            (ErrorKind::AllFailed, Some(last)) => last.root_cause(),
            _ => self,
        }
    }

    /// The same of a call that was never made: its time was up while it stood in line.
    pub(crate) fn not_started(self) -> Self {
        self.edit(|inner| inner.not_started = true)
    }

    /// Whether it tells anything of the other side, one way or another: not if the call was refused, called off or
    /// out of time before it got there, and not if it was the caller's mistake.
    pub(crate) fn is_upstream(&self) -> bool {
        !self.0.not_started && !matches!(self.kind(), ErrorKind::Rejected | ErrorKind::Cancelled | ErrorKind::Invalid)
    }

    /// The failures that led to this one: attempts of a retry, contenders of a race, members of a group.
    pub fn causes(&self) -> &[Error] {
        &self.0.causes
    }

    /// Errors as a list to be serialised, in which equal ones in a row stand once, with `times`: as an error's own causes
    /// do.
    pub fn grouped(errors: &[Error]) -> impl Serialize + '_ {
        ser::Many(errors)
    }

    /// How many attempts were made; 1 unless a retry gave up.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether another attempt may help. An [`ErrorKind::AllFailed`] error is as transient as its last cause.
    pub fn is_transient(&self) -> bool {
        match (self.0.transient, self.0.kind) {
            (Some(known), _) => known,
            (None, ErrorKind::Timeout | ErrorKind::Overloaded) => true,
            (None, ErrorKind::AllFailed) => self.0.causes.last().is_some_and(Error::is_transient),
            (None, _) => false,
        }
    }

    /// How long the failing side asked to be left alone, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            // Several contenders or attempts: the longest that any of them asked for.
            ErrorKind::AllFailed => self.0.causes.iter().filter_map(Error::retry_after).max(),
            _ => None,
        }
        .max(self.0.retry_after)
    }

    /// What the user can do about it, if something is known of it or of what it [comes down to](Error::root_cause).
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref().or(self.root_cause().0.hint.as_deref())
    }

    /// The standard error this one was made from.
    pub fn source(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }

    /// The first `E` among the error this one was made from, the one that was made from, and so on.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        let mut source: &(dyn std::error::Error + 'static) = self.0.source.as_deref()?;
        while !source.is::<E>() {
            source = source.source()?;
        }
        source.downcast_ref()
    }

    /// The error as a standard one, for libraries that want one, such as `anyhow`.
    pub fn into_std(self) -> StdError {
        StdError(self)
    }

    fn write_full(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = self.source().map(|error| error as &(dyn std::error::Error + 'static));
        while let Some(error) = source {
            // An error made by `?` has its source's text as its message: once is enough.
            let text = error.to_string();
            if text != self.message() {
                write!(f, ": {text}")?;
            }
            source = error.source();
        }
        for (cause, times) in ser::grouped(self.causes()) {
            let times = if times > 1 { format!("{times} × ") } else { String::new() };
            write!(f, "\n{:indent$}- {times}", "", indent = 2 * (depth + 1))?;
            cause.write_full(f, depth + 1)?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "\n{:indent$}hint: {hint}", "", indent = 2 * depth)?;
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            // `{:#}`, without the flag, so that nested parts print their single line.
            return write!(f, "{}", Full(self));
        }
        match self.path() {
            Some(path) => write!(f, "{path}: {}", self.message()),
            None => f.write_str(self.message()),
        }
    }
}

struct Full<'a>(&'a Error);

impl fmt::Display for Full<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_full(f, 0)
    }
}

/// The same as `{:#}`, so that a `main` that returns this error prints something readable.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Error::failed(error.to_string()).with_source(error)
    }
}

impl From<Error> for Box<dyn std::error::Error + Send + Sync> {
    fn from(error: Error) -> Self {
        Box::new(error.into_std())
    }
}

impl From<Error> for Box<dyn std::error::Error> {
    fn from(error: Error) -> Self {
        Box::new(error.into_std())
    }
}

/// [`Error`] as a standard error; made by [`Error::into_std`]. `Error` itself cannot be one, because it is
/// made from any of them.
pub struct StdError(Error);

impl fmt::Debug for StdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for StdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for StdError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source().map(|error| error as &(dyn std::error::Error + 'static))
    }
}

/// `{kind, message}` and, where known, `path`, `attempts`, `retry_after_ms`, `causes` and `hint`. Causes that say the same
/// one after the other are written once, with `times`.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ser::one(self, 1, serializer)
    }
}
