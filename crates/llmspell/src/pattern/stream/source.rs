//! The sources of a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

/// A source of inputs with its type erased.
pub(crate) type Source<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// An iterator or a `Stream` of inputs. `M` distinguishes the two and is always inferred. This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of `{T}`",
    label = "expected an iterator or a `Stream` over `{T}`",
    note = "the source must own its data (`Send + 'static`): call `.into_iter()` or clone the borrowed data",
    note = "convert items of another type, such as strings for an agent, with `.into_iter().map(Into::into)`"
)]
pub trait IntoSource<T, M>: sealed::Sealed<T, M> {
    #[doc(hidden)]
    fn into_source(self) -> Source<T>;
}

mod sealed {
    pub trait Sealed<T, M> {}
}

/// The marker of sources that are iterators.
#[derive(Debug)]
pub struct IsIterator;

/// The marker of sources that are streams.
#[derive(Debug)]
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
