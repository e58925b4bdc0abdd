//! What went wrong, and whether another attempt may help.

use llmspell::Error;
use reqwest::{Response, StatusCode};

use super::client::OnlyPrivate;
use super::retry_after;
use super::secrets::Secrets;

/// How much of the body of an error is shown.
const SHOWN: usize = 200;

/// What is known of a request when it fails.
pub(super) struct Request {
    /// Method and address, without secrets.
    pub(super) shown: String,
    /// Whether it may be sent again when nobody knows if it has arrived.
    pub(super) repeatable: bool,
}

impl Request {
    /// No answer, or not all of it: the connection failed or broke.
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
            let error =
                Error::new(llmspell::ErrorKind::Rejected, format!("{shown}: {reason}, and that is not allowed"));
            return error.with_hint("allow it with --allow net-private");
        }
        if error.is_builder() {
            return Error::invalid(format!("{shown}: {reason}")).with_source(error);
        }
        let unsent = error.is_connect();
        let error = Error::failed(format!("{shown}: {reason}")).with_source(error);
        if refused {
            return error.transient().with_hint("nobody listens there: is the server running, and the port right?");
        }
        if unsent || self.repeatable { error.transient() } else { may_have_arrived(error) }
    }

    /// An answer that is an error. Overload and failures of the server may pass; anything else is final.
    pub(super) async fn refused_by_server(&self, mut response: Response, secrets: &Secrets) -> Error {
        let status = response.status();
        let wait = response.headers().get("retry-after").and_then(|value| retry_after::wait(value.to_str().ok()?));
        let mut message = format!("{}: {status}", self.shown);
        if let Ok(Some(body)) = response.chunk().await {
            // Servers repeat what they were sent; a part of a secret at the cut would not be recognised.
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
        // The server has turned it away without having begun.
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
    error.permanent().with_hint("it may have been done all the same; `idempotent: true` lets it be sent again")
}
