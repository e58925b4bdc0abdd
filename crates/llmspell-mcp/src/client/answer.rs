//! What servers answer, as values and errors of ours.

use std::time::{Duration, SystemTime};

use llmspell::{Error, ErrorKind, Result};
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, ErrorCode, ServerResult};
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;
use serde_json::{Value, json};

use super::child::ExitInfo;
use super::reconnecting_client::may_have_happened;
use crate::chunk::{OVERLOADED, TOO_LARGE};

/// The value that a tool gives: structured content, or text, or whatever it is.
pub(crate) fn value(result: ServerResult, tool: &str) -> Result<Value> {
    let result = match result {
        ServerResult::CallToolResult(result) => result,
        ServerResult::CreateTaskResult(_) => {
            return Err(Error::failed(format!(
                "the tool `{tool}` runs only as a task of MCP, which this client does not offer"
            )));
        }
        ServerResult::InputRequiredResult(_) => {
            return Err(Error::failed(format!(
                "the tool `{tool}` asks for more input, which this client does not offer"
            )));
        }
        _ => return Err(Error::failed(format!("the answer to `{tool}` is none to a call of a tool"))),
    };
    if result.is_error == Some(true) {
        let text = text(&result).or_else(|| result.structured_content.map(|value| value.to_string()));
        return Err(Error::failed(text.unwrap_or_else(|| format!("the tool `{tool}` failed and did not say why"))));
    }
    if let Some(structured) = result.structured_content {
        return Ok(structured);
    }
    if let Some(text) = text(&result) {
        return Ok(Value::String(text));
    }
    Ok(json!({ "content": result.content }))
}

/// The text of an answer; `None` if it has anything else. Several pieces stand in lines of their own.
fn text(result: &CallToolResult) -> Option<String> {
    let pieces: Option<Vec<&str>> = result
        .content
        .iter()
        .map(|block| match block {
            ContentBlock::Text(text) => Some(text.text.as_str()),
            _ => None,
        })
        .collect();
    pieces.filter(|pieces| !pieces.is_empty()).map(|pieces| pieces.join("\n"))
}

/// The error of a call that the server, or the way to it, answered with one.
pub(crate) fn failure(error: &ServiceError, place: &str, idempotent: bool) -> Error {
    match error {
        ServiceError::McpError(error) => refused(error),
        ServiceError::TransportSend(error) => {
            transport(error, place, idempotent).unwrap_or_else(|| may_have_happened(place, idempotent))
        }
        ServiceError::TransportClosed => may_have_happened(place, idempotent),
        other => Error::failed(format!("the MCP server `{place}` answered what was not asked: {other}")),
    }
}

/// What a server answers by an error of the protocol, and not of the tool.
fn refused(error: &ErrorData) -> Error {
    let message = error.message.to_string();
    match error.code {
        ErrorCode::INVALID_PARAMS => Error::bad_arguments(message),
        ErrorCode::METHOD_NOT_FOUND | ErrorCode::INVALID_REQUEST => Error::invalid(message),
        ErrorCode(OVERLOADED) => {
            let wait = error.data.as_ref().and_then(|data| data["retryAfterMs"].as_u64());
            let overloaded = Error::overloaded(message);
            match wait {
                Some(wait) => overloaded.with_retry_after(Duration::from_millis(wait)),
                None => overloaded,
            }
        }
        ErrorCode(TOO_LARGE) => Error::failed(message).permanent().with_hint(TOO_LARGE_HINT),
        _ => Error::failed(message),
    }
}

/// What helps against answers that are too large.
const TOO_LARGE_HINT: &str = "ask for less of it: a page, a part, or a file that the server writes";

type HttpError = StreamableHttpError<reqwest::Error>;

fn http(error: &DynamicTransportError) -> Option<&HttpError> {
    error.error.downcast_ref()
}

/// Whether the request never left, because nobody was there to take it.
pub(crate) fn is_unreachable(error: &ServiceError) -> bool {
    let ServiceError::TransportSend(error) = error else { return false };
    matches!(http(error), Some(StreamableHttpError::Client(error)) if error.is_connect())
}

/// Whether the connection has had its day.
pub(crate) fn is_of_transport(error: &ServiceError) -> bool {
    match error {
        ServiceError::TransportClosed => true,
        ServiceError::TransportSend(error) => !matches!(
            http(error),
            Some(
                StreamableHttpError::HttpStatus(_)
                    | StreamableHttpError::ResponseBodyTooLarge { .. }
                    | StreamableHttpError::AuthRequired(_)
                    | StreamableHttpError::InsufficientScope(_)
            )
        ),
        _ => false,
    }
}

/// The error that a server of HTTP has given for certain; `None` if nobody knows what became of the call. Addresses
/// are not shown, for they may hold secrets.
fn transport(error: &DynamicTransportError, place: &str, idempotent: bool) -> Option<Error> {
    Some(match http(error)? {
        StreamableHttpError::HttpStatus(status) => {
            let message = format!("the MCP server `{place}` answered HTTP {}", status.status);
            let error = match status.status {
                429 | 503 | 529 => Error::overloaded(message),
                // The server or a gateway before it broke off: the call may have happened.
                _ if idempotent => Error::failed(message).transient(),
                _ => Error::failed(format!("{message}; the call may have happened")),
            };
            match status.retry_after.as_deref().and_then(|text| wait(text, SystemTime::now())) {
                Some(wait) if error.kind() == ErrorKind::Overloaded => error.with_retry_after(wait),
                _ => error,
            }
        }
        StreamableHttpError::ResponseBodyTooLarge { max_size } => {
            let message = format!("the answer is larger than {} MiB", max_size >> 20);
            Error::failed(message).permanent().with_hint(TOO_LARGE_HINT)
        }
        StreamableHttpError::AuthRequired(_) => denied(place, "HTTP 401"),
        StreamableHttpError::InsufficientScope(_) => denied(place, "HTTP 403"),
        // `HTTP 403 Forbidden: …`; what follows may be anything.
        StreamableHttpError::UnexpectedServerResponse(response) if response.starts_with("HTTP 4") => {
            let status = response.split(':').next().unwrap_or_default();
            match status.get(5..8) {
                Some("401" | "402" | "403" | "407") => denied(place, status),
                _ => Error::failed(format!("the MCP server `{place}` refused the request: {status}")),
            }
        }
        _ => return None,
    })
}

fn denied(place: &str, status: &str) -> Error {
    Error::denied(format!("the MCP server `{place}` wants other credentials ({status})"))
        .with_hint("set the bearer token with `token`")
}

/// The time that `Retry-After` names, in seconds, which may have a fraction, or as a date. rmcp hands on no other header:
/// what a server says in `retry-after-ms` alone is not known here.
fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

/// The error of a connection over HTTP that did not come about.
pub(crate) fn handshake(error: &ClientInitializeError, place: &str) -> Error {
    match error {
        ClientInitializeError::TransportError { error, .. } => match http(error) {
            Some(StreamableHttpError::Client(_)) => {
                Error::failed(format!("the MCP server `{place}` cannot be reached")).transient()
            }
            _ => transport(error, place, true)
                .unwrap_or_else(|| Error::failed(format!("the MCP server `{place}` does not speak streamable HTTP"))),
        },
        ClientInitializeError::ConnectionClosed(_) => {
            Error::failed(format!("the MCP server `{place}` ended before the handshake was over"))
        }
        other => unshaken(other, place, ""),
    }
}

/// The error of a child process with which no connection came about.
pub(crate) fn hung_up(error: &ClientInitializeError, last: &ExitInfo, place: &str) -> Error {
    let said = last.said.as_ref().map(|said| format!("; it said: {said}")).unwrap_or_default();
    match (error, last.status) {
        (ClientInitializeError::TransportError { .. } | ClientInitializeError::ConnectionClosed(_), status) => {
            let how = match status {
                Some(status) => format!("ended before the handshake was over ({status})"),
                None => "closed its standard streams before the handshake was over".to_owned(),
            };
            Error::failed(format!("the MCP server `{place}` {how}{said}")).with_hint(
                "does it speak MCP over its standard streams, and need arguments, or variables that are not handed on \
                 unless they are named with `env` or `inherit`?",
            )
        }
        (other, _) => unshaken(other, place, &said),
    }
}

fn unshaken(error: &ClientInitializeError, place: &str, said: &str) -> Error {
    match error {
        ClientInitializeError::JsonRpcError(error) => {
            Error::failed(format!("the MCP server `{place}` refused the handshake: {}{said}", error.message))
        }
        other => Error::failed(format!("the handshake with the MCP server `{place}` failed: {other}{said}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_has_seconds_with_and_without_a_fraction_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(wait("2", now), Some(Duration::from_secs(2)));
        assert_eq!(wait(" 0.25 ", now), Some(Duration::from_millis(250)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:27 GMT", now), Some(Duration::ZERO));
        for nonsense in ["", "-1", "soon", "nan", "inf"] {
            assert_eq!(wait(nonsense, now), None, "{nonsense}");
        }
    }
}
