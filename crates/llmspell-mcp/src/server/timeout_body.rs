//! A request body with a time limit.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that fails if it has not arrived completely within the time limit. Without it, a client that sends a byte a
/// minute would hold a connection for ever, and connections are limited.
pub(crate) struct TimeoutBody<B> {
    body: Pin<Box<B>>,
    timer: Pin<Box<Sleep>>,
}

impl<B> TimeoutBody<B> {
    pub(crate) fn new(body: B, limit: Duration) -> Self {
        TimeoutBody { body: Box::pin(body), timer: Box::pin(sleep(limit)) }
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for TimeoutBody<B> {
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        if let Poll::Ready(frame) = self.body.as_mut().poll_frame(task) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.timer.as_mut().poll(task));
        Poll::Ready(Some(Err("the request body did not arrive in time".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use hyper::body::Bytes;
    use std::collections::VecDeque;
    use tokio::time::{Instant, Interval, interval};

    /// A body of which one frame a second arrives.
    struct SlowBody(Interval, VecDeque<&'static str>);

    impl Body for SlowBody {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            task: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            ready!(self.0.poll_tick(task));
            Poll::Ready(self.1.pop_front().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
        }
    }

    fn slow_body(frames: usize) -> TimeoutBody<SlowBody> {
        let frames = std::iter::repeat_n("{", frames).collect();
        TimeoutBody::new(SlowBody(interval(Duration::from_secs(1)), frames), Duration::from_millis(10_500))
    }

    #[tokio::test(start_paused = true)]
    async fn late_body_fails_even_if_frames_keep_arriving() {
        assert_eq!(slow_body(8).collect().await.unwrap().to_bytes().len(), 8);
        let started = Instant::now();
        assert!(slow_body(1000).collect().await.is_err());
        assert_eq!(started.elapsed().as_millis(), 10_500);
    }
}
