//! One model behind a network.

use std::fmt;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use genai::chat::{ChatStream, ChatStreamEvent};
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, Headers, ModelIden, ServiceTarget};
use llmspell::model::{EventSender, Finish, Model, ModelError, ModelErrorClass, ModelEvent, ModelStream, Request};
use llmspell::{Context, Result, Step, step};

use crate::failure::{Failure, FailureContext};
use crate::key::Key;
use crate::provider::Wire;
use crate::stream::{RawFrames, ReplyDecoder};
use crate::suppress_logs::without_logs;
use crate::translate::{self, Target};

/// A model of a provider; made by [`Models::get`](crate::Models::get). Clones share their connections.
///
/// A server's limits are passed on to a [`Rate`](llmspell::Rate) only from error responses:
/// genai does not expose the headers of successful ones. So `x-ratelimit-remaining-*` does not tighten a rate while
/// requests succeed. The first 429 reports the limit, and the rate then pauses accordingly.
#[derive(Clone)]
pub struct RemoteModel(Arc<Inner>);

pub(crate) struct Inner {
    /// `provider/model`.
    pub(crate) name: String,
    pub(crate) provider: String,
    /// As the provider calls it.
    pub(crate) model: String,
    pub(crate) wire: Wire,
    pub(crate) base_url: String,
    pub(crate) key: Option<Key>,
    /// Headers besides those of the wire; their values are as secret as keys.
    pub(crate) headers: Vec<(String, Key)>,
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) client: Client,
}

impl RemoteModel {
    pub(crate) fn new(inner: Inner) -> Self {
        RemoteModel(Arc::new(inner))
    }

    /// How its server is spoken to.
    pub fn wire(&self) -> Wire {
        self.0.wire
    }
}

/// Without the key.
impl fmt::Debug for RemoteModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteModel").field("name", &self.0.name).field("wire", &self.0.wire).finish_non_exhaustive()
    }
}

impl Model for RemoteModel {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn stream(&self, request: Request, cx: &Context) -> ModelStream {
        let (model, cx) = (self.0.clone(), cx.clone());
        let reply = step(move |(request, events): (Request, EventSender), cx: Context| {
            let model = model.clone();
            async move { model.reply(request, &cx, &events).await }
        });
        // In a task of its own: while a server sends a frame without an end, genai does not yield, and the
        // caller must still be released in time.
        let reply = reply.spawned();
        ModelStream::produce(async move |events| reply.run((request, events), &cx).await)
    }
}

impl Inner {
    async fn reply(&self, request: Request, cx: &Context, events: &EventSender) -> Result<()> {
        let to = Target { provider: &self.provider, wire: self.wire };
        let (chat, mut options) = translate::request(&request, to)?;
        drop(request);
        // The deadline ends the call in any case; told to the transport, it also ends what the transport waits for.
        let most = cx.remaining().unwrap_or(Duration::MAX);
        let about = FailureContext {
            model: &self.name,
            secrets: self.key.iter().chain(self.headers.iter().map(|(_, value)| value)).collect(),
            header_timeout: self.header_timeout.min(most),
            idle_timeout: self.idle_timeout.min(most),
        };
        if most.is_zero() {
            let message = format!("{}: the deadline has passed before the request was sent", self.name);
            return Err(ModelError::new(ModelErrorClass::Timeout, message).into_error());
        }
        options.stream_header_timeout = Some(about.header_timeout);
        options.stream_read_timeout = Some(about.idle_timeout);
        let frames = RawFrames::new(self.wire);
        options.raw_frame_sink = Some(frames.clone());
        options.extra_headers = Some(self.extra_headers());
        let failed = |error| self.failed(Failure::from_genai(error, &about), cx);
        let opened = without_logs(self.client.exec_chat_stream(self.target(), chat, Some(&options))).await;
        let mut stream = opened.map_err(failed)?.stream;
        let mut decoder = ReplyDecoder::new(self.wire, &self.provider, frames.clone());
        // Whatever comes after an error or the end is not listened to: the stream is gone by then.
        loop {
            let tool_call_states = next(&mut stream).await;
            if let Some(body) = frames.failure() {
                return Err(self.failed(Failure::told(&body, &about), cx));
            }
            let tool_call_states = match tool_call_states {
                Some(Ok(event)) => event,
                // Gemini refuses prompts with an answer that has nothing in it.
                Some(Err(_)) if frames.block_reason().is_some() => {
                    return events.send(ModelEvent::Finish(Finish::ContentFilter)).await;
                }
                Some(Err(error)) => return Err(failed(error)),
                None => match frames.end() {
                    Some(end) => ChatStreamEvent::End(end),
                    None => return Err(self.incomplete(&decoder, &frames)),
                },
            };
            if let Some(started) = decoder.started() {
                events.send(started).await?;
            }
            if let ChatStreamEvent::End(end) = tool_call_states {
                let Some(last) = decoder.end(end) else { return Err(self.incomplete(&decoder, &frames)) };
                for event in last {
                    events.send(event).await?;
                }
                return Ok(());
            }
            if let Some(event) = decoder.on_event(tool_call_states) {
                events.send(event).await?;
            }
        }
    }

    fn extra_headers(&self) -> Headers {
        let own = self.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
        let mut headers: Vec<(String, String)> = own.collect();
        if let (Wire::Ollama, Some(key)) = (self.wire, &self.key) {
            headers.push(("Authorization".to_owned(), format!("Bearer {}", key.reveal())));
        }
        Headers::from(headers)
    }

    fn target(&self) -> ServiceTarget {
        // genai takes what is before `::` for a name of its own.
        let model = if self.model.contains("::") { format!("model::{}", self.model) } else { self.model.clone() };
        let auth = match (&self.key, self.wire) {
            (Some(key), _) => AuthData::from_single(key.reveal()),
            // Without a key, the header for it must be absent too.
            (None, Wire::OpenAi) => AuthData::RequestOverride {
                url: format!("{}chat/completions", self.base_url),
                headers: self.extra_headers(),
            },
            (None, _) => AuthData::from_single(""),
        };
        ServiceTarget {
            endpoint: Endpoint::from_owned(self.base_url.as_str()),
            auth,
            model: ModelIden::new(self.wire.adapter(), model),
        }
    }

    fn failed(&self, failure: Failure, cx: &Context) -> llmspell::Error {
        if let Some(limits) = failure.limits {
            cx.rate_limits(limits);
        }
        let error = failure.error.into_error();
        match failure.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// Returns the error of a reply that ended before it was complete.
    fn incomplete(&self, decoder: &ReplyDecoder, frames: &RawFrames) -> llmspell::Error {
        if frames.is_no_stream() {
            let message = format!("{}: the answer is not a stream of events", self.name);
            let hint = "check its base URL, and that proxies before it pass streams through";
            return ModelError::new(ModelErrorClass::Protocol, message).into_error().with_hint(hint);
        }
        let message = format!("the reply of {} ended without a finish reason", self.name);
        let error = ModelError::new(ModelErrorClass::Truncated, message);
        match decoder.request_id() {
            Some(id) => error.with_request_id(id),
            None => error,
        }
        .into_error()
    }
}

async fn next(stream: &mut ChatStream) -> Option<genai::Result<ChatStreamEvent>> {
    let next = std::future::poll_fn(|task| -> Poll<_> { std::pin::Pin::new(&mut *stream).poll_next(task) });
    without_logs(next).await
}
