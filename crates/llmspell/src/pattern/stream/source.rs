//! What a stream can be fed from.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

/// A source of inputs, whatever it was before.
pub(crate) type Source<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// An iterator or a `Stream` of inputs. `M` tells the two apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of `{T}`",
    label = "expected an iterator or a `Stream` over `{T}`",
    note = "the source must own its data (it is to be Send + 'static): try `.into_iter()` or clone what it borrows",
    note = "items of another type, such as strings for an agent, are turned into it by `.into_iter().map(Into::into)`"
)]
pub trait IntoSource<T, M>: sealed::Sealed<T, M> {
    #[doc(hidden)]
    fn into_source(self) -> Source<T>;
}

mod sealed {
    pub trait Sealed<T, M> {}
}

/// Marks sources that are iterators.
pub struct IsIterator;

/// Marks sources that are streams.
pub struct IsStream;

impl<T, I> sealed::Sealed<T, IsIterator> for I where I: IntoIterator<Item = T> {}

impl<T, I> IntoSource<T, IsIterator> for I
where
    I: IntoIterator<Item = T>,
    I::IntoIter: Send + 'static,
{
    fn into_source(self) -> Source<T> {
        Box::pin(Iter(self.into_iter()))
    }
}

impl<T, S> sealed::Sealed<T, IsStream> for S where S: Stream<Item = T> {}

impl<T, S> IntoSource<T, IsStream> for S
where
    S: Stream<Item = T> + Send + 'static,
{
    fn into_source(self) -> Source<T> {
        Box::pin(self)
    }
}

/// An iterator as a stream that is always ready.
struct Iter<I>(I);

/// Iterators are never pinned in place.
impl<I> Unpin for Iter<I> {}

impl<I: Iterator> Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
