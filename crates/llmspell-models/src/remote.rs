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

use crate::failure::{Circumstances, Failure};
use crate::key::Key;
use crate::listen::{Frames, Listener};
use crate::provider::Wire;
use crate::quiet::quietly;
use crate::translate::{self, Addressee};

/// A model of a provider; made by [`Models::get`](crate::Models::get). Clones share their connections.
///
/// What a server says about its limits is handed on to a [`Rate`](llmspell::Rate) from answers that are errors only:
/// genai does not show the headers of those that succeed. So a rate is not tightened by `x-ratelimit-remaining-*` while
/// all goes well; it hears of a limit by the first 429, and then pauses as that says.
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
    pub(crate) headers_within: Duration,
    pub(crate) silence: Duration,
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
        // In a task of its own: as long as a server sends a frame without an end, genai does not give way, and whoever has
        // asked is to be free in time all the same.
        let reply = reply.spawned();
        ModelStream::produce(async move |events| reply.run((request, events), &cx).await)
    }
}

impl Inner {
    async fn reply(&self, request: Request, cx: &Context, events: &EventSender) -> Result<()> {
        let to = Addressee { provider: &self.provider, wire: self.wire };
        let (chat, mut options) = translate::request(&request, to)?;
        drop(request);
        // The deadline ends the call in any case; told to the transport, it also ends what the transport waits for.
        let most = cx.remaining().unwrap_or(Duration::MAX);
        let about = Circumstances {
            model: &self.name,
            secrets: self.key.iter().chain(self.headers.iter().map(|(_, value)| value)).collect(),
            headers_within: self.headers_within.min(most),
            silence: self.silence.min(most),
        };
        if most.is_zero() {
            let message = format!("{}: the deadline has passed before the request was sent", self.name);
            return Err(ModelError::new(ModelErrorClass::Timeout, message).into_error());
        }
        options.stream_header_timeout = Some(about.headers_within);
        options.stream_read_timeout = Some(about.silence);
        let frames = Frames::new(self.wire);
        options.raw_frame_sink = Some(frames.clone());
        options.extra_headers = Some(self.extra_headers());
        let failed = |error| self.failed(Failure::from_genai(error, &about), cx);
        let opened = quietly(self.client.exec_chat_stream(self.target(), chat, Some(&options))).await;
        let mut stream = opened.map_err(failed)?.stream;
        let mut listener = Listener::new(self.wire, &self.provider, frames.clone());
        // Whatever comes after an error or the end is not listened to: the stream is gone by then.
        loop {
            let heard = next(&mut stream).await;
            if let Some(body) = frames.failure() {
                return Err(self.failed(Failure::told(&body, &about), cx));
            }
            let heard = match heard {
                Some(Ok(event)) => event,
                // Gemini refuses prompts with an answer that has nothing in it.
                Some(Err(_)) if frames.block_reason().is_some() => {
                    return events.send(ModelEvent::Finish(Finish::ContentFilter)).await;
                }
                Some(Err(error)) => return Err(failed(error)),
                None => match frames.end() {
                    Some(end) => ChatStreamEvent::End(end),
                    None => return Err(self.incomplete(&listener, &frames)),
                },
            };
            if let Some(started) = listener.started() {
                events.send(started).await?;
            }
            if let ChatStreamEvent::End(end) = heard {
                let Some(last) = listener.end(end) else { return Err(self.incomplete(&listener, &frames)) };
                for event in last {
                    events.send(event).await?;
                }
                return Ok(());
            }
            if let Some(event) = listener.hear(heard) {
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
            // Without a key there is to be no header for one either.
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

    /// What has ended without being a whole reply.
    fn incomplete(&self, listener: &Listener, frames: &Frames) -> llmspell::Error {
        if frames.is_no_stream() {
            let message = format!("{}: the answer is no stream of events", self.name);
            let hint = "is its base URL right, and does whatever stands before it let streams through?";
            return ModelError::new(ModelErrorClass::Protocol, message).into_error().with_hint(hint);
        }
        let message = format!("the reply of {} ended without a finish reason", self.name);
        let error = ModelError::new(ModelErrorClass::Truncated, message);
        match listener.request_id() {
            Some(id) => error.with_request_id(id),
            None => error,
        }
        .into_error()
    }
}

async fn next(stream: &mut ChatStream) -> Option<genai::Result<ChatStreamEvent>> {
    let next = std::future::poll_fn(|task| -> Poll<_> { std::pin::Pin::new(&mut *stream).poll_next(task) });
    quietly(next).await
}
