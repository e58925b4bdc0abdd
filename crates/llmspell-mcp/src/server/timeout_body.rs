//! The body of a request that has to arrive in time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that fails if it has not arrived, whole, when its time is up. Whoever sends a letter a minute would keep a
/// connection for ever, and there are only so many.
pub(crate) struct TimeoutBody<B> {
    body: Pin<Box<B>>,
    alarm: Pin<Box<Sleep>>,
}

impl<B> TimeoutBody<B> {
    pub(crate) fn new(body: B, longest: Duration) -> Self {
        TimeoutBody { body: Box::pin(body), alarm: Box::pin(sleep(longest)) }
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for TimeoutBody<B> {
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        if let Poll::Ready(frame) = self.body.as_mut().poll_frame(task) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.alarm.as_mut().poll(task));
        Poll::Ready(Some(Err("it takes too long to arrive".into())))
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

    /// A body that comes in pieces, one a second.
    struct Trickle(Interval, VecDeque<&'static str>);

    impl Body for Trickle {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            task: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            ready!(self.0.poll_tick(task));
            Poll::Ready(self.1.pop_front().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
        }
    }

    fn trickle(pieces: usize) -> TimeoutBody<Trickle> {
        let pieces = std::iter::repeat_n("{", pieces).collect();
        TimeoutBody::new(Trickle(interval(Duration::from_secs(1)), pieces), Duration::from_millis(10_500))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_late_fails_however_lively_it_is() {
        assert_eq!(trickle(8).collect().await.unwrap().to_bytes().len(), 8);
        let begun = Instant::now();
        assert!(trickle(1000).collect().await.is_err());
        assert_eq!(begun.elapsed().as_millis(), 10_500);
    }
}
