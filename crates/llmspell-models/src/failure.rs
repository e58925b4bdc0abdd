//! From what goes wrong below to a [`ModelError`]: the class, the words, when to come back.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use genai::webc::StreamTimeout;
use llmspell::model::{ModelError, ModelErrorClass};
use llmspell::observe::RateLimits;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::headers;
use crate::key::Key;

/// How much of what a server says is shown.
const SHOWN: usize = 300;

/// A failed request: the error, and what the server said on that occasion about its limits.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ModelError,
    pub(crate) limits: Option<RateLimits>,
    pub(crate) hint: Option<&'static str>,
}

/// The context of a failure, besides the error itself.
pub(crate) struct FailureContext<'a> {
    pub(crate) model: &'a str,
    pub(crate) secrets: Vec<&'a Key>,
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl Failure {
    fn of(class: ModelErrorClass, message: String) -> Self {
        Failure { error: ModelError::new(class, message), limits: None, hint: None }
    }

    /// The failure that genai reports.
    pub(crate) fn from_genai(error: genai::Error, about: &FailureContext<'_>) -> Self {
        let mut failure = match error {
            // In a stream the answer's status and headers are wrapped in an error without either.
            genai::Error::WebStream { error, .. } => match error.downcast::<genai::Error>() {
                Ok(inner) => Failure::from_answer(*inner),
                Err(error) => Failure::from_transport(&*error, about),
            },
            genai::Error::ChatResponse { body, .. } => Failure::from_frame(&body),
            genai::Error::StreamParse { serde_error, .. } => {
                Failure::of(ModelErrorClass::Protocol, format!("a piece of the reply is not JSON: {serde_error}"))
            }
            genai::Error::JsonValueExt(error) => Failure::of(
                ModelErrorClass::Protocol,
                format!("a piece of the reply is not what it should be: {error}"),
            ),
            other if other.status().is_some() => Failure::from_answer(other),
            genai::Error::WebModelCall { webc_error, .. } => match &webc_error {
                genai::webc::Error::Reqwest(error) => Failure::from_transport(error, about),
                error => Failure::of(ModelErrorClass::Protocol, error.to_string()),
            },
            // Everything else is found before anything is sent.
            other => Failure::of(ModelErrorClass::InvalidRequest, other.to_string()),
        };
        failure.finish(about);
        failure
    }

    /// Creates the failure that a frame of the reply reports.
    pub(crate) fn told(body: &Value, about: &FailureContext<'_>) -> Self {
        let mut failure = Failure::from_frame(body);
        failure.finish(about);
        failure
    }

    fn from_answer(error: genai::Error) -> Self {
        let none = HeaderMap::new();
        let status = error.status().map(|status| status.as_u16());
        let (body, headers) = match &error {
            genai::Error::HttpError { body, headers, .. } => (body.as_str(), &**headers),
            genai::Error::WebModelCall { webc_error, .. } | genai::Error::WebAdapterCall { webc_error, .. } => {
                match webc_error {
                    genai::webc::Error::ResponseFailedStatus { body, headers, .. } => (body.as_str(), &**headers),
                    _ => ("", &none),
                }
            }
            _ => ("", &none),
        };
        let status = status.unwrap_or_default();
        let now = SystemTime::now();
        let said = ErrorBody::by(body);
        let class = said.class(ModelErrorClass::from_status(status).unwrap_or(ModelErrorClass::Protocol));
        let message = if said.text.is_empty() { format!("answered with status {status}") } else { said.text };
        let mut failure = Failure::of(class, message);
        failure.error.status = Some(status);
        failure.error.retry_after = headers::retry_after(headers, now).or(said.retry_after);
        failure.error.request_id = headers::request_id(headers);
        failure.limits = headers::rate_limits(headers, now);
        if (300..400).contains(&status) {
            failure.hint = Some("the server is elsewhere: set its base URL to where it leads");
        }
        failure
    }

    /// An error in the middle of an answer that began well.
    fn from_frame(body: &Value) -> Self {
        let said = ErrorBody::in_json(body);
        let status = said.code.parse().ok().filter(|status| (400..600).contains(status));
        let fallback = status.and_then(ModelErrorClass::from_status).unwrap_or(ModelErrorClass::Server);
        let class = said.class(fallback);
        let message = if said.text.is_empty() { "the reply broke off with an error".to_owned() } else { said.text };
        let mut failure = Failure::of(class, message);
        failure.error.status = status;
        failure.error.retry_after = said.retry_after;
        failure
    }

    fn from_transport(error: &(dyn StdError + Send + Sync + 'static), about: &FailureContext<'_>) -> Self {
        let waited = |time: Duration| format!("{} s", (time.as_secs_f64() * 1e3).round() / 1e3);
        match error.downcast_ref() {
            Some(StreamTimeout::Headers) => {
                let message = format!("no answer within {}", waited(about.header_timeout));
                return Failure::of(ModelErrorClass::Timeout, message);
            }
            Some(StreamTimeout::Read) => {
                let message = format!("the reply stalled: nothing came for {}", waited(about.idle_timeout));
                return Failure::of(ModelErrorClass::Timeout, message);
            }
            None => {}
        }
        // The outermost text names the address, where user names and keys may be; the innermost says what happened.
        let mut innermost: &(dyn StdError + 'static) = error;
        let mut is_refused = false;
        while let Some(source) = innermost.source() {
            innermost = source;
            let kind = innermost.downcast_ref().map(std::io::Error::kind);
            is_refused |= kind == Some(std::io::ErrorKind::ConnectionRefused);
        }
        let Some(http) = error.downcast_ref::<reqwest::Error>() else {
            return Failure::of(ModelErrorClass::Protocol, format!("the reply cannot be read: {innermost}"));
        };
        // Only the parts of the address that are not secret.
        let host = http.url().and_then(|url| {
            Some(format!(" to {}:{}", url.host_str()?, url.port_or_known_default().unwrap_or_default()))
        });
        let host = host.unwrap_or_default();
        let (class, what) = if http.is_timeout() {
            (ModelErrorClass::Timeout, "time ran out on the connection")
        } else if http.is_builder() {
            (ModelErrorClass::InvalidRequest, "the request cannot be made")
        } else if http.is_connect() {
            (ModelErrorClass::Connection, "no connection")
        } else {
            (ModelErrorClass::Connection, "lost the connection")
        };
        let is_leaf = innermost.is::<reqwest::Error>();
        let message = if is_leaf { format!("{what}{host}") } else { format!("{what}{host}: {innermost}") };
        let mut failure = Failure::of(class, message);
        if is_refused {
            failure.hint = Some("start the server, or correct its address");
        }
        failure
    }

    /// Takes keys out, cuts what is long, and says who it was.
    fn finish(&mut self, about: &FailureContext<'_>) {
        let scrub = |text: String| about.secrets.iter().fold(text, |text, secret| secret.scrub(text));
        let said = scrub(std::mem::take(&mut self.error.message));
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut short: String = said.chars().take(SHOWN).collect();
        if short.len() < said.len() {
            short.push('…');
        }
        self.error.message = format!("{}: {short}", about.model);
        self.error.request_id = self.error.request_id.take().map(scrub);
    }
}

/// The body of an error response.
#[derive(Debug, Default)]
struct ErrorBody {
    text: String,
    /// Its type, code and status, whichever there are.
    names: String,
    code: String,
    retry_after: Option<Duration>,
}

impl ErrorBody {
    fn by(body: &str) -> Self {
        match serde_json::from_str::<Value>(body) {
            Ok(json) if json.is_object() || json.is_array() => ErrorBody::in_json(&json),
            _ if body.trim_start().starts_with('<') => ErrorBody { text: words_of_html(body), ..ErrorBody::default() },
            _ => ErrorBody { text: body.to_owned(), ..ErrorBody::default() },
        }
    }

    fn in_json(body: &Value) -> Self {
        let body = body.get(0).unwrap_or(body);
        let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
        let field = |name: &str| match error.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let candidates = [field("message"), field("detail"), error.as_str().unwrap_or_default().to_owned()];
        let text = candidates.into_iter().find(|text| !text.is_empty());
        let (kind, code, status) = (field("type"), field("code"), field("status"));
        // Gemini says in the body when to come back: google.rpc.RetryInfo.
        let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
        let delay = details.filter_map(|detail| detail.get("retryDelay")?.as_str()?.strip_suffix('s')?.parse().ok());
        ErrorBody {
            text: text.unwrap_or_else(|| error.to_string()),
            names: format!("{kind} {code} {status}").to_ascii_lowercase(),
            code,
            retry_after: delay.filter_map(|seconds| Duration::try_from_secs_f64(seconds).ok()).next(),
        }
    }

    /// The class by what is said, where that is more than the status tells.
    fn class(&self, by_status: ModelErrorClass) -> ModelErrorClass {
        let text = self.text.to_ascii_lowercase();
        let named = |names: &[&str]| names.iter().any(|name| self.names.contains(name));
        let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        let is_refusal = matches!(
            by_status,
            ModelErrorClass::InvalidRequest
                | ModelErrorClass::ContextTooLong
                | ModelErrorClass::RateLimited
                | ModelErrorClass::Server
        );
        if !is_refusal {
            return by_status;
        }
        if named(&["insufficient_quota", "billing"]) || says(&["credit balance is too low"]) {
            return ModelErrorClass::QuotaExhausted;
        }
        if named(&["context_length_exceeded", "exceed_context_size"])
            || says(&["prompt is too long", "maximum context length", "exceeds the maximum number of tokens"])
        {
            return ModelErrorClass::ContextTooLong;
        }
        if by_status == ModelErrorClass::RateLimited {
            return by_status;
        }
        if named(&["authentication", "permission", "unauthenticated"]) || says(&["api key not valid"]) {
            ModelErrorClass::Unauthorized
        } else if named(&["overloaded", "unavailable"]) {
            ModelErrorClass::Overloaded
        } else if named(&["rate_limit", "resource_exhausted"]) {
            ModelErrorClass::RateLimited
        } else if named(&["deadline_exceeded", "timeout"]) {
            ModelErrorClass::Timeout
        } else if named(&["invalid_request", "invalid_argument", "not_found"]) {
            ModelErrorClass::InvalidRequest
        } else {
            by_status
        }
    }
}

/// The title of a page, or its words.
fn words_of_html(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    if let Some(begin) = lower.find("<title>").map(|at| at + "<title>".len())
        && let Some(length) = lower[begin..].find("</title>")
    {
        return page[begin..begin + length].to_owned();
    }
    let mut is_tag = false;
    let keep = |c: char| {
        is_tag = c == '<' || (is_tag && c != '>');
        if is_tag || c == '>' { ' ' } else { c }
    };
    page.chars().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_said_is_more_than_the_status() {
        let class =
            |status, body: Value| ErrorBody::in_json(&body).class(ModelErrorClass::from_status(status).unwrap());
        let error = |kind: &str, message: &str| json!({ "error": { "type": kind, "message": message } });
        assert_eq!(class(429, error("insufficient_quota", "no money")), ModelErrorClass::QuotaExhausted);
        assert_eq!(class(429, error("requests", "slow down")), ModelErrorClass::RateLimited);
        assert_eq!(class(400, error("", "Your credit balance is too low")), ModelErrorClass::QuotaExhausted);
        assert_eq!(class(400, error("exceed_context_size_error", "long")), ModelErrorClass::ContextTooLong);
        assert_eq!(class(400, error("", "prompt is too long: 3 > 2")), ModelErrorClass::ContextTooLong);
        assert_eq!(class(413, error("", "request too large")), ModelErrorClass::ContextTooLong);
        let invalid_key = json!([{ "error": { "message": "API key not valid.", "status": "INVALID_ARGUMENT" } }]);
        assert_eq!(class(400, invalid_key), ModelErrorClass::Unauthorized);
        assert_eq!(class(400, error("invalid_request_error", "no")), ModelErrorClass::InvalidRequest);
        assert_eq!(class(401, error("invalid_request_error", "no")), ModelErrorClass::Unauthorized);
        assert_eq!(class(500, error("server_error", "oh")), ModelErrorClass::Server);
    }

    #[test]
    fn errors_within_a_reply_have_the_class_that_they_name() {
        let class = |body: Value| Failure::from_frame(&body).error.class;
        assert_eq!(class(json!({ "error": { "type": "overloaded_error" } })), ModelErrorClass::Overloaded);
        assert_eq!(class(json!({ "type": "rate_limit_error" })), ModelErrorClass::RateLimited);
        assert_eq!(class(json!({ "code": 503, "message": "busy" })), ModelErrorClass::Overloaded);
        assert_eq!(class(json!({ "code": 2062, "message": "?" })), ModelErrorClass::Server);
        assert_eq!(class(json!({ "error": "model runner has crashed" })), ModelErrorClass::Server);
    }

    #[test]
    fn gemini_says_in_the_body_when_to_come_back() {
        let body = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota",
            "details": [{ "@type": "x" }, { "@type": "google.rpc.RetryInfo", "retryDelay": "32.5s" }] } });
        assert_eq!(ErrorBody::in_json(&body).retry_after, Some(Duration::from_millis(32_500)));
    }

    #[test]
    fn of_a_page_the_title_is_shown_or_the_words() {
        assert_eq!(words_of_html("<html><TITLE>503 Busy</TITLE><p>x"), "503 Busy");
        let words = words_of_html("<html><h1>Bad</h1> gateway</html>");
        assert_eq!(words.split_whitespace().collect::<Vec<_>>(), ["Bad", "gateway"]);
    }
}
