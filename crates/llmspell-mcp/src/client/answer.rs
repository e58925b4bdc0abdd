//! Converts the answers of servers to values and errors.
//!
//! The errors of calls without an answer are here as well. Each says whether the call may have happened, because that
//! decides whether a retry may repeat it.

use std::time::{Duration, SystemTime};

use llmspell::{Error, ErrorKind, Result};
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, ErrorCode, ServerResult};
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;
use serde_json::{Value, json};

use super::child::ExitInfo;
use crate::protocol::{OVERLOADED, TOO_LARGE};

/// Returns the output of a tool: structured content, else text, else the content as MCP describes it.
pub(crate) fn value(result: ServerResult, tool: &str) -> Result<Value> {
    let result = match result {
        ServerResult::CallToolResult(result) => result,
        ServerResult::CreateTaskResult(_) => {
            return Err(Error::failed(format!(
                "the tool `{tool}` runs only as an MCP task, which this client does not support"
            )));
        }
        ServerResult::InputRequiredResult(_) => {
            return Err(Error::failed(format!(
                "the tool `{tool}` asks for more input, which this client does not support"
            )));
        }
        _ => return Err(Error::failed(format!("expected the result of the tool `{tool}`, found another answer"))),
    };
    if result.is_error == Some(true) {
        let text = text(&result).or_else(|| result.structured_content.map(|value| value.to_string()));
        return Err(Error::failed(text.unwrap_or_else(|| format!("the tool `{tool}` failed and gave no reason"))));
    }
    if let Some(structured) = result.structured_content {
        return Ok(structured);
    }
    if let Some(text) = text(&result) {
        return Ok(Value::String(text));
    }
    Ok(json!({ "content": result.content }))
}

/// Returns the text of an answer, its blocks joined by line breaks; `None` if it has other content.
fn text(result: &CallToolResult) -> Option<String> {
    let blocks: Option<Vec<&str>> = result
        .content
        .iter()
        .map(|block| match block {
            ContentBlock::Text(text) => Some(text.text.as_str()),
            _ => None,
        })
        .collect();
    blocks.filter(|blocks| !blocks.is_empty()).map(|blocks| blocks.join("\n"))
}

/// Returns the error of a call that the server or the transport answered with an error.
pub(crate) fn failure(error: &ServiceError, server: &str, idempotent: bool) -> Error {
    match error {
        ServiceError::McpError(error) => protocol_error(error),
        ServiceError::TransportSend(error) => {
            transport_error(error, server, idempotent).unwrap_or_else(|| may_have_happened(server, idempotent))
        }
        ServiceError::TransportClosed => may_have_happened(server, idempotent),
        other => Error::failed(format!("the MCP server `{server}` sent an unexpected answer: {other}")),
    }
}

/// Returns the error of a call during which the connection was lost.
pub(crate) fn may_have_happened(server: &str, idempotent: bool) -> Error {
    let error = Error::failed(format!(
        "the connection to the MCP server `{server}` was lost during the call, which may have happened"
    ));
    if idempotent { error.transient() } else { error.permanent().with_hint(CHECK_FIRST) }
}

/// Returns the error of a call that was not answered in time.
pub(crate) fn timed_out(server: &str, idempotent: bool, is_sent: bool) -> Error {
    let state = if is_sent { "cancelled, and may have happened" } else { "not made" };
    let message = format!("the MCP server `{server}` did not answer in time; the call was {state}");
    let error = Error::new(ErrorKind::Timeout, message);
    if idempotent || !is_sent { error } else { error.permanent().with_hint(CHECK_FIRST) }
}

const CHECK_FIRST: &str =
    "check whether the call has happened before you repeat it; only idempotent tools are safe to repeat";

/// Converts an error of the protocol, as opposed to an error of the tool.
fn protocol_error(error: &ErrorData) -> Error {
    let message = error.message.to_string();
    match error.code {
        ErrorCode::INVALID_PARAMS => Error::bad_arguments(message),
        ErrorCode::METHOD_NOT_FOUND | ErrorCode::INVALID_REQUEST => Error::invalid(message),
        ErrorCode(OVERLOADED) => {
            let delay = error.data.as_ref().and_then(|data| data["retryAfterMs"].as_u64());
            let overloaded = Error::overloaded(message);
            match delay {
                Some(delay) => overloaded.with_retry_after(Duration::from_millis(delay)),
                None => overloaded,
            }
        }
        ErrorCode(TOO_LARGE) => Error::failed(message).permanent().with_hint(ASK_FOR_LESS),
        _ => Error::failed(message),
    }
}

const ASK_FOR_LESS: &str = "ask for less: a page, a part, or a file that the server writes";

type HttpError = StreamableHttpError<reqwest::Error>;

fn http_error(error: &DynamicTransportError) -> Option<&HttpError> {
    error.error.downcast_ref()
}

/// Returns whether no connection to the server could be made, so that the request was never sent.
pub(crate) fn is_unreachable(error: &ServiceError) -> bool {
    let ServiceError::TransportSend(error) = error else { return false };
    matches!(http_error(error), Some(StreamableHttpError::Client(error)) if error.is_connect())
}

/// Returns whether the connection is unusable after this error.
pub(crate) fn is_connection_lost(error: &ServiceError) -> bool {
    match error {
        ServiceError::TransportClosed => true,
        ServiceError::TransportSend(error) => !matches!(
            http_error(error),
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

/// Converts an error that an HTTP server gave explicitly; `None` if the result of the call is unknown. URLs are left
/// out because they may hold secrets.
fn transport_error(error: &DynamicTransportError, server: &str, idempotent: bool) -> Option<Error> {
    Some(match http_error(error)? {
        StreamableHttpError::HttpStatus(status) => {
            let message = format!("the MCP server `{server}` answered HTTP {}", status.status);
            let error = match status.status {
                429 | 503 | 529 => Error::overloaded(message),
                // The server, or a gateway in front of it, broke off: the call may have happened.
                _ if idempotent => Error::failed(message).transient(),
                _ => Error::failed(format!("{message}; the call may have happened")),
            };
            match status.retry_after.as_deref().and_then(|text| retry_after(text, SystemTime::now())) {
                Some(delay) if error.kind() == ErrorKind::Overloaded => error.with_retry_after(delay),
                _ => error,
            }
        }
        StreamableHttpError::ResponseBodyTooLarge { max_size } => {
            let message = format!("the answer is larger than {} MiB", max_size >> 20);
            Error::failed(message).permanent().with_hint(ASK_FOR_LESS)
        }
        StreamableHttpError::AuthRequired(_) => denied(server, "HTTP 401"),
        StreamableHttpError::InsufficientScope(_) => denied(server, "HTTP 403"),
        // `HTTP 403 Forbidden: …`; the text after the colon is arbitrary.
        StreamableHttpError::UnexpectedServerResponse(response) if response.starts_with("HTTP 4") => {
            let status = response.split(':').next().unwrap_or_default();
            match status.get(5..8) {
                Some("401" | "402" | "403" | "407") => denied(server, status),
                _ => Error::failed(format!("the MCP server `{server}` rejected the request: {status}")),
            }
        }
        _ => return None,
    })
}

fn denied(server: &str, status: &str) -> Error {
    Error::denied(format!("the MCP server `{server}` wants other credentials ({status})"))
        .with_hint("set the bearer token with `token`")
}

/// Parses `Retry-After`: seconds, possibly with a fraction, or a date. rmcp passes on no other header, so that
/// `retry-after-ms` alone is not seen here.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

/// Returns the error of a failed handshake over HTTP.
pub(crate) fn http_handshake_error(error: &ClientInitializeError, server: &str) -> Error {
    match error {
        ClientInitializeError::TransportError { error, .. } => match http_error(error) {
            Some(StreamableHttpError::Client(_)) => {
                Error::failed(format!("cannot reach the MCP server `{server}`")).transient()
            }
            _ => transport_error(error, server, true)
                .unwrap_or_else(|| Error::failed(format!("the MCP server `{server}` does not speak streamable HTTP"))),
        },
        ClientInitializeError::ConnectionClosed(_) => {
            Error::failed(format!("the MCP server `{server}` ended before the handshake was complete"))
        }
        other => handshake_error(other, server, ""),
    }
}

/// Returns the error of a failed handshake with a child process.
pub(crate) fn child_handshake_error(error: &ClientInitializeError, exit: &ExitInfo, server: &str) -> Error {
    let stderr = exit.stderr.as_ref().map(|text| format!("; its standard error: {text}")).unwrap_or_default();
    match (error, exit.status) {
        (ClientInitializeError::TransportError { .. } | ClientInitializeError::ConnectionClosed(_), status) => {
            let end = match status {
                Some(status) => format!("ended before the handshake was complete ({status})"),
                None => "closed its standard streams before the handshake was complete".to_owned(),
            };
            Error::failed(format!("the MCP server `{server}` {end}{stderr}")).with_hint(
                "check that the program speaks MCP over its standard streams and has its arguments; pass the variables \
                 it needs with `env` or `inherit`",
            )
        }
        (other, _) => handshake_error(other, server, &stderr),
    }
}

fn handshake_error(error: &ClientInitializeError, server: &str, stderr: &str) -> Error {
    match error {
        ClientInitializeError::JsonRpcError(error) => {
            Error::failed(format!("the MCP server `{server}` rejected the handshake: {}{stderr}", error.message))
        }
        other => Error::failed(format!("the handshake with the MCP server `{server}` failed: {other}{stderr}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_parsed_as_seconds_fraction_or_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("2", now), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(" 0.25 ", now), Some(Duration::from_millis(250)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:27 GMT", now), Some(Duration::ZERO));
        for invalid in ["", "-1", "soon", "nan", "inf"] {
            assert_eq!(retry_after(invalid, now), None, "{invalid}");
        }
    }
}
