//! Errors of HTTP calls, classified by whether another attempt may help.

use llmspell::Error;
use reqwest::{Response, StatusCode};

use super::client::OnlyPrivate;
use super::retry_after;
use super::secrets::Secrets;

/// The longest part of an error body that is quoted, in bytes.
const SHOWN: usize = 200;

/// The facts about a request that its error reports.
pub(super) struct Request {
    /// Method and address, without secrets.
    pub(super) shown: String,
    /// Whether the request may be sent again if its delivery is unknown.
    pub(super) repeatable: bool,
}

impl Request {
    /// An incomplete or missing response: the connection failed or broke.
    pub(super) fn failed(&self, error: reqwest::Error) -> Error {
        let error = error.without_url();
        let shown = &self.shown;
        let mut source: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        let mut reason = error.to_string();
        let (mut refused, mut private) = (false, false);
        while let Some(inner) = source {
            let kind = inner.downcast_ref().map(std::io::Error::kind);
            refused |= kind == Some(std::io::ErrorKind::ConnectionRefused);
            private |= inner.is::<OnlyPrivate>();
            reason = inner.to_string();
            source = inner.source();
        }
        if private {
            let error = Error::new(llmspell::ErrorKind::Rejected, format!("{shown}: {reason}, which is not allowed"));
            return error.with_hint("allow it with --allow net-private");
        }
        if error.is_builder() {
            return Error::invalid(format!("{shown}: {reason}")).with_source(error);
        }
        let unsent = error.is_connect();
        let error = Error::failed(format!("{shown}: {reason}")).with_source(error);
        if refused {
            return error.transient().with_hint("check that the server is running and that the port is right");
        }
        if unsent || self.repeatable { error.transient() } else { may_have_arrived(error) }
    }

    /// A response with an error status. Overload and server failures are transient; other statuses are final.
    pub(super) async fn refused_by_server(&self, mut response: Response, secrets: &Secrets) -> Error {
        let status = response.status();
        let wait = response.headers().get("retry-after").and_then(|value| retry_after::wait(value.to_str().ok()?));
        let mut message = format!("{}: {status}", self.shown);
        if let Ok(Some(body)) = response.chunk().await {
            // Servers repeat what they receive; redaction would not recognise a secret that is cut in two.
            let text = secrets.masked(&String::from_utf8_lossy(&body));
            let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
            if !text.is_empty() {
                message = format!("{message}: {text}");
            }
        }
        let error = match status.as_u16() {
            429 | 503 | 529 => Error::overloaded(message),
            401 | 402 | 407 => Error::denied(message),
            _ => Error::failed(message),
        };
        // The server rejected the request before it began to process it.
        let turned_away =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY)
                || matches!(status.as_u16(), 503 | 529);
        match (turned_away || status.is_server_error(), wait) {
            (false, _) => error.permanent(),
            (true, _) if !turned_away && !self.repeatable => may_have_arrived(error),
            (true, None) => error.transient(),
            (true, Some(wait)) => error.with_retry_after(wait),
        }
    }
}

fn may_have_arrived(error: Error) -> Error {
    error.permanent().with_hint("the request may have arrived; set `idempotent: true` to allow sending it again")
}
