//! Errors of models: their classes, and how a class becomes the error of a step.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reply::LARGEST_REPLY;
use crate::error::{Error, ErrorKind};

/// The failure of a model: no reply, or an incomplete one.
///
/// It is the [source](Error::source) of the step's error: `error.downcast_ref::<ModelError>()`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelError {
    /// The class of the failure.
    pub class: ModelErrorClass,
    /// The message.
    pub message: String,
    /// The status of the HTTP response, if there was one.
    pub status: Option<u16>,
    /// The time after which the provider allows another request.
    pub retry_after: Option<Duration>,
    /// The provider's id of the request, for support questions.
    pub request_id: Option<String>,
}

/// The classes of failures of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelErrorClass {
    /// Too many requests or tokens in a period (429).
    RateLimited,
    /// The provider has no capacity at the moment (503, 529).
    Overloaded,
    /// Missing or invalid credentials, or no access to this model (401, 403).
    Unauthorized,
    /// The account has no credit left (402).
    QuotaExhausted,
    /// The provider does not accept the request (400, 404, 422).
    InvalidRequest,
    /// The conversation is longer than the model's context.
    ContextTooLong,
    /// An internal error of the provider (5xx), or an error event within a reply.
    Server,
    /// The connection could not be opened, or broke.
    Connection,
    /// The provider did not respond in time.
    Timeout,
    /// The reply ended without a finish reason, before it was complete.
    Truncated,
    /// The provider violated its protocol.
    Protocol,
}

impl ModelErrorClass {
    /// Returns the name used in JSON and in messages, such as `rate_limited`.
    pub fn as_str(self) -> &'static str {
        match self {
            ModelErrorClass::RateLimited => "rate_limited",
            ModelErrorClass::Overloaded => "overloaded",
            ModelErrorClass::Unauthorized => "unauthorized",
            ModelErrorClass::QuotaExhausted => "quota_exhausted",
            ModelErrorClass::InvalidRequest => "invalid_request",
            ModelErrorClass::ContextTooLong => "context_too_long",
            ModelErrorClass::Server => "server",
            ModelErrorClass::Connection => "connection",
            ModelErrorClass::Timeout => "timeout",
            ModelErrorClass::Truncated => "truncated",
            ModelErrorClass::Protocol => "protocol",
        }
    }

    /// Returns the class of an HTTP status, if it is an error status.
    pub fn from_status(status: u16) -> Option<Self> {
        Some(match status {
            429 => ModelErrorClass::RateLimited,
            503 | 529 => ModelErrorClass::Overloaded,
            401 | 403 | 407 => ModelErrorClass::Unauthorized,
            402 => ModelErrorClass::QuotaExhausted,
            408 | 504 => ModelErrorClass::Timeout,
            413 => ModelErrorClass::ContextTooLong,
            400..=499 => ModelErrorClass::InvalidRequest,
            500..=599 => ModelErrorClass::Server,
            _ => return None,
        })
    }

    fn kind(self) -> ErrorKind {
        match self {
            ModelErrorClass::RateLimited | ModelErrorClass::Overloaded => ErrorKind::Overloaded,
            ModelErrorClass::Unauthorized | ModelErrorClass::QuotaExhausted => ErrorKind::Denied,
            ModelErrorClass::InvalidRequest | ModelErrorClass::ContextTooLong => ErrorKind::Invalid,
            ModelErrorClass::Timeout => ErrorKind::Timeout,
            ModelErrorClass::Server
            | ModelErrorClass::Connection
            | ModelErrorClass::Truncated
            | ModelErrorClass::Protocol => ErrorKind::Failed,
        }
    }

    /// Returns whether a retry may help.
    pub fn is_transient(self) -> bool {
        match self {
            ModelErrorClass::RateLimited
            | ModelErrorClass::Overloaded
            | ModelErrorClass::Server
            | ModelErrorClass::Connection
            | ModelErrorClass::Timeout
            | ModelErrorClass::Truncated => true,
            ModelErrorClass::Unauthorized
            | ModelErrorClass::QuotaExhausted
            | ModelErrorClass::InvalidRequest
            | ModelErrorClass::ContextTooLong
            | ModelErrorClass::Protocol => false,
        }
    }

    fn hint(self) -> Option<&'static str> {
        Some(match self {
            ModelErrorClass::RateLimited => "lower the limit or set a rate around the model",
            ModelErrorClass::Unauthorized => "check the key for this provider, and that it may use this model",
            ModelErrorClass::QuotaExhausted => "add credit to the account, or use another provider",
            ModelErrorClass::ContextTooLong => "trim the conversation, or use a model with a longer context",
            _ => return None,
        })
    }
}

impl fmt::Display for ModelErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ModelError {
    /// Creates a failure of this class.
    pub fn new(class: ModelErrorClass, message: impl Into<String>) -> Self {
        ModelError { class, message: message.into(), status: None, retry_after: None, request_id: None }
    }

    /// Creates the error of a stream that ended before its reply was complete.
    pub(crate) fn truncated(model: &str) -> Self {
        let message = format!("the reply of `{model}` ended without a finish reason");
        ModelError::new(ModelErrorClass::Truncated, message)
    }

    /// Creates the error of a reply that was cut off within a tool call.
    pub(crate) fn cut_off(model: &str) -> Self {
        let message = format!("the reply of `{model}` reached `max_tokens` within a tool call");
        ModelError::new(ModelErrorClass::Truncated, message)
    }

    /// Creates the error of a reply over the size limit.
    pub(crate) fn too_large(model: &str) -> Self {
        let message = format!("the reply of `{model}` is larger than {} MiB", LARGEST_REPLY >> 20);
        ModelError::new(ModelErrorClass::Protocol, message)
    }

    /// Sets the status of the HTTP response.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Sets the time after which the provider allows another request.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Sets the provider's id of the request.
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// Returns the error of a step, with the [kind](Error::kind), the [transience](Error::is_transient) and the hint of
    /// the class.
    pub fn into_error(self) -> Error {
        let message = self.to_string();
        let mut error = Error::new(self.class.kind(), message);
        if let Some(wait) = self.retry_after {
            error = error.with_retry_after(wait);
        }
        error = if self.class.is_transient() { error.transient() } else { error.permanent() };
        if let Some(hint) = self.class.hint() {
            error = error.with_hint(hint);
        }
        error.with_source(self)
    }
}

/// The message, with status and request id if they are known. The [error](ModelError::into_error) has the same text, so
/// that the full report of an error prints it once.
impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.status
            && !self.message.contains(&status.to_string())
        {
            write!(f, "{status}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ModelError {}
