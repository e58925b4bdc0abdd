//! The error type of the library: what failed, where, why, and what to do about it.
//!
//! [`Error`] is one concrete type for all steps, and cheap to clone. It has the path of the step that failed, the source
//! error, and every cause collected on the way: all attempts of a retry, all contenders of a race. `?` converts any
//! standard error into one.

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

/// The class of an [`Error`], for decisions of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The step ran and failed.
    Failed,
    /// The input or the configuration is invalid; another attempt will not help.
    Invalid,
    /// A timeout or a deadline was exceeded.
    Timeout,
    /// The work was stopped by its owner: a sibling failed, a race was lost, a run was interrupted.
    Cancelled,
    /// The step panicked. The panic affects only this call.
    Panicked,
    /// A rate, a budget, a breaker or a limit rejected the call before the step ran.
    Rejected,
    /// The server is overloaded: too many requests (429), out of capacity (503, 529). Slowing down helps.
    Overloaded,
    /// The server denies access: missing credentials or funds (401, 402). Every other call will fail as well until the user
    /// acts.
    Denied,
    /// All attempts, branches or contenders failed; see [`Error::causes`]. Its name in JSON is `exhausted`.
    #[serde(rename = "exhausted")]
    AllFailed,
}

impl ErrorKind {
    /// Returns the name used in JSON and in messages, such as `timeout`.
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
/// An error is *transient* if another attempt may help. Timeouts and overload are transient, and so are errors marked with
/// [`Error::transient`] or with a [`Error::retry_after`]. Errors converted by `?` are not, because nothing is known about
/// them; [`Retry::when`](crate::Retry::when) classifies them in one place.
///
/// `{}` prints one line; `{:#}` adds sources, causes and the hint.
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
pub struct Error(Arc<ErrorData>);

#[derive(Clone)]
struct ErrorData {
    kind: ErrorKind,
    message: Cow<'static, str>,
    path: Option<Path>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    causes: Vec<Error>,
    transient: Option<bool>,
    retry_after: Option<Duration>,
    attempts: u32,
    hint: Option<Cow<'static, str>>,
    /// Whether the call was never made.
    not_started: bool,
}

impl Error {
    /// Returns an error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error(Arc::new(ErrorData {
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

    /// Returns the error of a step that ran and failed ([`ErrorKind::Failed`]).
    pub fn failed(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Failed, message)
    }

    /// Returns the error of invalid input or configuration ([`ErrorKind::Invalid`]).
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Invalid, message)
    }

    /// Returns the error of an overloaded server ([`ErrorKind::Overloaded`]). It is [transient](Error::is_transient). Add
    /// [`Error::with_retry_after`] if the server says when to try again.
    pub fn overloaded(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Overloaded, message)
    }

    /// Returns the error of a server that denies access ([`ErrorKind::Denied`]).
    pub fn denied(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Denied, message)
    }

    /// Returns one error for several failures. A single failure stays itself; for more, the kind is
    /// [`ErrorKind::AllFailed`] and all of them are causes.
    pub(crate) fn all_failed(message: impl Into<Cow<'static, str>>, mut causes: Vec<Error>) -> Self {
        if causes.len() == 1 {
            return causes.remove(0);
        }
        Error::new(ErrorKind::AllFailed, message).with_causes(causes)
    }

    /// Marks the error as transient: another attempt may help.
    pub fn transient(self) -> Self {
        self.edit(|data| data.transient = Some(true))
    }

    /// Marks the error as permanent: no retry will help.
    pub fn permanent(self) -> Self {
        self.edit(|data| data.transient = Some(false))
    }

    /// Sets the wait before another attempt, as a server does with `Retry-After`. Implies [`Error::transient`].
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.edit(|data| {
            data.retry_after = Some(wait);
            data.transient.get_or_insert(true);
        })
    }

    /// Adds a hint: what the user can do about the error.
    pub fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.edit(|data| data.hint = Some(hint.into()))
    }

    /// Adds the error that this one came from.
    pub fn with_source(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.edit(|data| data.source = Some(Arc::new(source)))
    }

    /// Adds the failures that led to this one, in the order in which they happened.
    pub fn with_causes(self, causes: Vec<Error>) -> Self {
        self.edit(|data| data.causes = causes)
    }

    pub(crate) fn with_attempts(self, attempts: u32) -> Self {
        self.edit(|data| data.attempts = attempts)
    }

    /// Sets the path of the step that failed, unless a step further in has set it.
    pub(crate) fn at(self, path: impl FnOnce() -> Path) -> Self {
        if self.0.path.is_some() {
            return self;
        }
        let path = path();
        if path.is_root() {
            return self;
        }
        self.edit(|data| data.path = Some(path))
    }

    /// Returns the same error with another message, such as one that names the part of the work that failed.
    pub fn with_message(self, message: impl Into<Cow<'static, str>>) -> Self {
        self.edit(|data| data.message = message.into())
    }

    fn edit(mut self, change: impl FnOnce(&mut ErrorData)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Returns the class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the message, without the path.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the path of the step that failed; `None` if no step around the failure has a name.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_ref()
    }

    /// Returns the error that decides how to handle this one: itself, or the last cause if all attempts failed
    /// ([`ErrorKind::AllFailed`]).
    pub fn root_cause(&self) -> &Error {
        match (self.kind(), self.causes().last()) {
            (ErrorKind::AllFailed, Some(last)) => last.root_cause(),
            _ => self,
        }
    }

    /// Marks the call as never made: it ran out of time in a wait queue.
    pub(crate) fn not_started(self) -> Self {
        self.edit(|data| data.not_started = true)
    }

    /// Whether the error says anything about the health of the server. Not if the call was rejected, cancelled or out of time
    /// before it was sent, and not if the caller made a mistake.
    pub(crate) fn is_upstream(&self) -> bool {
        !self.0.not_started && !matches!(self.kind(), ErrorKind::Rejected | ErrorKind::Cancelled | ErrorKind::Invalid)
    }

    /// Returns the failures that led to this one: attempts of a retry, contenders of a race, members of a group.
    pub fn causes(&self) -> &[Error] {
        &self.0.causes
    }

    /// Returns a list of errors for serialisation. Consecutive equal errors are written once, with `times`, like the causes of
    /// an error.
    pub fn grouped(errors: &[Error]) -> impl Serialize + '_ {
        ser::Grouped(errors)
    }

    /// Returns the number of attempts; 1 unless a retry gave up.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether another attempt may help. An error of kind [`ErrorKind::AllFailed`] is transient if its last cause is.
    pub fn is_transient(&self) -> bool {
        match (self.0.transient, self.0.kind) {
            (Some(known), _) => known,
            (None, ErrorKind::Timeout | ErrorKind::Overloaded) => true,
            (None, ErrorKind::AllFailed) => self.0.causes.last().is_some_and(Error::is_transient),
            (None, _) => false,
        }
    }

    /// Returns the wait before another attempt, if the server or the flow control that rejected the call asks for one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            // Several contenders or attempts: the longest wait that any of them requested.
            ErrorKind::AllFailed => self.0.causes.iter().filter_map(Error::retry_after).max(),
            _ => None,
        }
        .max(self.0.retry_after)
    }

    /// Returns what the user can do about the error or its [root cause](Error::root_cause), if that is known.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref().or(self.root_cause().0.hint.as_deref())
    }

    /// Returns the standard error that this one came from.
    pub fn source(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }

    /// Returns the first `E` in the chain of sources.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        let mut source: &(dyn std::error::Error + 'static) = self.0.source.as_deref()?;
        while !source.is::<E>() {
            source = source.source()?;
        }
        source.downcast_ref()
    }

    /// Converts the error into a standard one, for libraries such as `anyhow`.
    pub fn into_std(self) -> StdError {
        StdError(self)
    }

    fn write_full(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = self.source().map(|error| error as &(dyn std::error::Error + 'static));
        while let Some(error) = source {
            // An error made by `?` has the text of its source as its message, which is printed once.
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
            // Without the `#` flag, so that nested parts print one line each.
            return write!(f, "{}", Full(self));
        }
        match self.path() {
            Some(path) => write!(f, "{path}: {}", self.message()),
            None => f.write_str(self.message()),
        }
    }
}

/// An error with its sources, causes and hint.
struct Full<'a>(&'a Error);

impl fmt::Display for Full<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_full(f, 0)
    }
}

/// Prints the same as `{:#}`, so that a `main` that returns this error prints something readable.
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

/// [`Error`] as a standard error; made by [`Error::into_std`]. `Error` itself cannot implement [`std::error::Error`],
/// because it converts from every type that does.
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

/// `{kind, message}` and, where known, `path`, `attempts`, `retry_after_ms`, `causes` and `hint`. Consecutive equal causes
/// are written once, with `times`.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ser::one(self, 1, serializer)
    }
}
