//! A short queue between a reader and those who write to it, which takes memory for what is in it and for nothing else.
//!
//! tokio's channel takes room for 32 items as soon as the first one is sent. Every agent that is watched has two such
//! queues, mostly empty, and there may be thousands of them. As in that channel, a fair semaphore says whose turn it is.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll, Waker, ready};

use tokio::sync::Semaphore;
use tokio::task::coop::poll_proceed;

use crate::runtime::sync::{Mutex, lock};

/// A queue in which at most `capacity` items wait.
pub(crate) fn queue<T>(capacity: usize) -> (Writer<T>, Reader<T>) {
    assert!(capacity > 0, "a queue without room passes nothing on: give it room for one item at least");
    let state = Mutex::new(State { items: VecDeque::new(), writers: 1, reader: None });
    let shared = Arc::new(Shared { room: Semaphore::new(capacity), state });
    (Writer(shared.clone()), Reader(shared))
}

#[derive(Debug)]
struct Shared<T> {
    /// A permit for each item that still fits in; closed once nobody reads any more.
    room: Semaphore,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    writers: usize,
    reader: Option<Waker>,
}

/// Where items go in; clones write to the same queue.
#[derive(Debug)]
pub(crate) struct Writer<T>(Arc<Shared<T>>);

impl<T> Writer<T> {
    /// Waits for room; gives the item back if nobody reads any more.
    pub(crate) async fn send(&self, item: T) -> Result<(), T> {
        let Ok(room) = self.0.room.acquire().await else { return Err(item) };
        // The reader gives it back, with the item.
        room.forget();
        let mut state = lock(&self.0.state);
        state.items.push_back(item);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl<T> Clone for Writer<T> {
    fn clone(&self) -> Self {
        lock(&self.0.state).writers += 1;
        Writer(self.0.clone())
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.writers -= 1;
        let reader = if state.writers == 0 { state.reader.take() } else { None };
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }
}

/// Where items come out, in the order in which they went in.
#[derive(Debug)]
pub(crate) struct Reader<T>(Arc<Shared<T>>);

impl<T> Reader<T> {
    /// Nothing more is let in; what is there can still be read.
    pub(crate) fn close(&mut self) {
        self.0.room.close();
    }

    /// Whether nothing more will come in: it is closed, or all writers are gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.room.is_closed() || lock(&self.0.state).writers == 0
    }

    /// The next item; `None` once everything has been read, and all writers are gone or the queue is
    /// [closed](Reader::close).
    pub(crate) fn poll_recv(&mut self, task: &mut task::Context<'_>) -> Poll<Option<T>> {
        let turn = ready!(poll_proceed(task));
        let mut state = lock(&self.0.state);
        let Some(item) = state.items.pop_front() else {
            if state.writers == 0 || self.0.room.is_closed() {
                turn.made_progress();
                return Poll::Ready(None);
            }
            state.reader = Some(task.waker().clone());
            return Poll::Pending;
        };
        turn.made_progress();
        drop(state);
        self.0.room.add_permits(1);
        Poll::Ready(Some(item))
    }

    pub(crate) async fn recv(&mut self) -> Option<T> {
        poll_fn(|task| self.poll_recv(task)).await
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.close();
        // A writer that has room already may still put its item in: it goes with the last writer.
        let items = std::mem::take(&mut lock(&self.0.state).items);
        drop(items);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn a_writer_waits_for_room_and_everything_arrives_in_order() {
        let (writer, mut reader) = queue(2);
        for item in 0..2 {
            writer.send(item).await.unwrap();
        }
        assert!(timeout(SOON, writer.send(9)).await.is_err());
        let more = tokio::join!(
            async {
                for item in 2..100 {
                    writer.send(item).await.unwrap();
                }
                drop(writer);
            },
            async {
                let mut items = Vec::new();
                while let Some(item) = reader.recv().await {
                    items.push(item);
                }
                items
            }
        );
        assert_eq!(more.1, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_gives_up_takes_no_place_from_those_who_wait() {
        let (writer, mut reader) = queue(1);
        writer.send(0).await.unwrap();
        let gives_up = async { assert!(timeout(SOON, writer.send(1)).await.is_err()) };
        let patient = async { writer.send(2).await.unwrap() };
        let reads = async {
            sleep(2 * SOON).await;
            assert_eq!(reader.recv().await, Some(0));
            assert_eq!(timeout(SOON, reader.recv()).await.unwrap(), Some(2));
        };
        tokio::join!(gives_up, patient, reads);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_reader_writers_get_their_items_back() {
        let (writer, reader) = queue(1);
        writer.send(0).await.unwrap();
        let leaves = async {
            sleep(SOON).await;
            drop(reader);
        };
        let (sent, ()) = tokio::join!(writer.send(1), leaves);
        assert_eq!(sent, Err(1));
        assert_eq!(writer.send(2).await, Err(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_hears_of_the_last_writer() {
        let (writer, mut reader) = queue::<u8>(1);
        let other = writer.clone();
        let leave = async {
            drop(writer);
            sleep(SOON).await;
            drop(other);
        };
        let (item, ()) = tokio::join!(timeout(2 * SOON, reader.recv()), leave);
        assert_eq!(item.unwrap(), None);
    }

    #[tokio::test]
    async fn a_reader_that_always_finds_something_gives_way() {
        let (writer, mut reader) = queue(1000);
        for item in 0..1000 {
            writer.send(item).await.unwrap();
        }
        let read = AtomicUsize::new(0);
        let reads = async {
            while reader.recv().await.is_some_and(|item| item < 999) {
                read.fetch_add(1, Ordering::Relaxed);
            }
        };
        let looks = async { read.load(Ordering::Relaxed) };
        let ((), seen) = tokio::join!(reads, looks);
        assert!(seen < 999, "it has read {seen} in one go");
    }
}
