//! Streams of model events, and how to produce one.

use std::fmt;
use std::pin::Pin;
use std::task::{self, Poll};

use crate::runtime::channel::{Receiver, Sender, channel};
use futures_core::Stream;

use super::event::ModelEvent;
use crate::error::{Error, ErrorKind, Result};

/// A `Stream` of a model's events. Dropping it cancels the request.
#[must_use = "a model does nothing until its stream is polled"]
pub struct ModelStream(Pin<Box<dyn Stream<Item = Result<ModelEvent>> + Send>>);

impl ModelStream {
    /// Creates a model stream from any stream of events.
    pub fn new(stream: impl Stream<Item = Result<ModelEvent>> + Send + 'static) -> Self {
        ModelStream(Box::pin(stream))
    }

    /// Creates a model stream from the events that an async closure sends.
    ///
    /// The closure runs in the task that polls the stream, at most one event ahead of the consumer. An error that it
    /// returns is the last item.
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
        ModelStream::new(ProducedStream { work: Some(Box::pin(work)), failure: None, events })
    }

    /// Creates a stream that fails immediately.
    pub fn failed(error: Error) -> Self {
        ModelStream::produce(|_| std::future::ready(Err(error)))
    }

    /// Returns the next event, or `None` at the end.
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

/// The sender of a [`ModelStream`]'s events.
#[derive(Clone, Debug)]
pub struct EventSender(Sender<ModelEvent>);

impl EventSender {
    /// Sends an event, and waits while the consumer is behind.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the stream has been dropped: the producer should return.
    pub async fn send(&self, event: ModelEvent) -> Result<()> {
        self.0.send(event).await.map_err(|_| Error::new(ErrorKind::Cancelled, "the consumer of the reply is gone"))
    }
}

/// The stream of [`ModelStream::produce`].
struct ProducedStream {
    work: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    failure: Option<Error>,
    events: Receiver<ModelEvent>,
}

impl Stream for ProducedStream {
    type Item = Result<ModelEvent>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(work) = &mut this.work
            && let Poll::Ready(result) = work.as_mut().poll(task)
        {
            this.work = None;
            this.failure = result.err();
            if this.failure.is_some() {
                // Other clones of the sender may still exist. The failure must be the last item.
                this.events.close();
            }
        }
        match this.events.poll_recv(task) {
            // All senders may be dropped before the producer has returned, and the producer may still fail.
            Poll::Ready(None) if this.work.is_some() => Poll::Pending,
            // Events that were sent before the producer returned come first.
            Poll::Ready(None) => Poll::Ready(this.failure.take().map(Err)),
            other => other.map(|event| event.map(Ok)),
        }
    }
}
