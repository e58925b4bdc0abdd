//! Streams of model events, and how to make one.

use std::fmt;
use std::pin::Pin;
use std::task::{self, Poll};

use crate::runtime::channel::{Receiver, Sender, channel};
use futures_core::Stream;

use super::event::ModelEvent;
use crate::error::{Error, ErrorKind, Result};

/// What a model says, as it says it: a `Stream` of events. Dropping it cancels the request.
#[must_use = "a model says nothing until its stream is polled"]
pub struct ModelStream(Pin<Box<dyn Stream<Item = Result<ModelEvent>> + Send>>);

impl ModelStream {
    /// Any stream of events.
    pub fn new(stream: impl Stream<Item = Result<ModelEvent>> + Send + 'static) -> Self {
        ModelStream(Box::pin(stream))
    }

    /// The events that an async closure sends. It runs in the task that polls the stream, and never gets more
    /// than one event ahead of it; an error that it returns is the last item.
    ///
    /// ```
    /// use llmspell::model::{Finish, ModelEvent, ModelStream};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let mut stream = ModelStream::produce(async move |events| {
    ///     events.send(ModelEvent::Text("Hello".into())).await?;
    ///     events.send(ModelEvent::Finish(Finish::Stop)).await
    /// });
    /// assert_eq!(stream.next().await.unwrap()?, ModelEvent::Text("Hello".into()));
    /// # Ok::<(), llmspell::Error>(()) }).unwrap();
    /// ```
    pub fn produce<F, Fut>(producer: F) -> Self
    where
        F: FnOnce(EventSender) -> Fut,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let (sender, events) = channel(1);
        let work = producer(EventSender(sender));
        ModelStream::new(Produced { work: Some(Box::pin(work)), failure: None, events })
    }

    /// A stream that fails at once.
    pub fn failed(error: Error) -> Self {
        ModelStream::produce(|_| std::future::ready(Err(error)))
    }

    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<ModelEvent>> {
        std::future::poll_fn(|task| self.0.as_mut().poll_next(task)).await
    }
}

impl Stream for ModelStream {
    type Item = Result<ModelEvent>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(task)
    }
}

impl fmt::Debug for ModelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelStream")
    }
}

/// Where the producer of a [`ModelStream`] sends its events.
#[derive(Clone, Debug)]
pub struct EventSender(Sender<ModelEvent>);

impl EventSender {
    /// Sends one event, and waits while the reader is behind.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the stream has been dropped: the producer should end.
    pub async fn send(&self, event: ModelEvent) -> Result<()> {
        self.0.send(event).await.map_err(|_| Error::new(ErrorKind::Cancelled, "nobody reads the reply any more"))
    }
}

struct Produced {
    work: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    failure: Option<Error>,
    events: Receiver<ModelEvent>,
}

impl Stream for Produced {
    type Item = Result<ModelEvent>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(work) = &mut this.work
            && let Poll::Ready(result) = work.as_mut().poll(task)
        {
            this.work = None;
            this.failure = result.err();
            if this.failure.is_some() {
                // Whoever else may still send: the failure is the last item.
                this.events.close();
            }
        }
        match this.events.poll_recv(task) {
            // Whoever sends may be gone before the producer has ended, say in a task of its own, and the producer may fail.
            Poll::Ready(None) if this.work.is_some() => Poll::Pending,
            // What was sent before the producer ended comes first.
            Poll::Ready(None) => Poll::Ready(this.failure.take().map(Err)),
            other => other.map(|event| event.map(Ok)),
        }
    }
}
