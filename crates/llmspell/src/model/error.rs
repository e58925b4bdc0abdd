//! What can go wrong with a model.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reply::LARGEST_REPLY;
use crate::error::{Error, ErrorKind};

/// Why a model did not reply, or not to the end.
///
/// It is the [source](Error::source) of the step's error: `error.downcast_ref::<ModelError>()`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelError {
    /// What sort of failure it is.
    pub class: ModelErrorClass,
    /// What happened, in words.
    pub message: String,
    /// The status of the HTTP answer, if there was one.
    pub status: Option<u16>,
    /// How long the provider asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The provider's name for the request, for asking them about it.
    pub request_id: Option<String>,
}

/// The sorts of failure of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelErrorClass {
    /// Too many requests or tokens in a time (429).
    RateLimited,
    /// The provider has no room at the moment (503, 529).
    Overloaded,
    /// No or wrong credentials, or none for this model (401, 403).
    Unauthorized,
    /// The account has run dry (402).
    QuotaExhausted,
    /// The request is not one that the provider takes (400, 404, 422).
    InvalidRequest,
    /// The conversation is longer than the model can read.
    ContextTooLong,
    /// The provider failed by itself (5xx), or said so in the middle of a reply.
    Server,
    /// The connection could not be made, or broke.
    Connection,
    /// The provider took too long.
    Timeout,
    /// The reply ended before it was complete: without a finish reason.
    Truncated,
    /// What the provider sent is not what it should send.
    Protocol,
}

impl ModelErrorClass {
    /// The name used in JSON and in messages, such as `rate_limited`.
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

    /// The class that an HTTP status tells, if it is one of an error.
    pub fn of_status(status: u16) -> Option<Self> {
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

    /// Whether another attempt may help.
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
            ModelErrorClass::QuotaExhausted => "the account has no credit left; add some, or use another provider",
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
    /// A failure of this class.
    pub fn new(class: ModelErrorClass, message: impl Into<String>) -> Self {
        ModelError { class, message: message.into(), status: None, retry_after: None, request_id: None }
    }

    /// A stream that ended before its reply was complete.
    pub(crate) fn truncated(model: &str) -> Self {
        let message = format!("the reply of {model} ended without a finish reason");
        ModelError::new(ModelErrorClass::Truncated, message)
    }

    /// A reply that ended in the middle of a call of a tool.
    pub(crate) fn cut_off(model: &str) -> Self {
        let message = format!("the reply of {model} came to its `max_tokens` in the middle of a call of a tool");
        ModelError::new(ModelErrorClass::Truncated, message)
    }

    /// A reply that would not end.
    pub(crate) fn too_large(model: &str) -> Self {
        let message = format!("the reply of {model} is larger than {} MiB, and was broken off", LARGEST_REPLY >> 20);
        ModelError::new(ModelErrorClass::Protocol, message)
    }

    /// Keeps the status of the HTTP answer.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Keeps how long the provider asks to be left alone.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Keeps the provider's name for the request.
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// The error of a step: of the [kind](Error::kind), as [transient](Error::is_transient) and with the hint
    /// that belong to the class.
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

/// The message, with status and request if they are known: the same text as the [error](ModelError::into_error) that
/// is made of it, so that a story tells it once.
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
