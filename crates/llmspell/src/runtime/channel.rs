//! A bounded channel that uses memory only for the items in it.
//!
//! tokio's channel allocates room for 32 items as soon as the first one is sent. Every observed agent has two such
//! channels, mostly empty, and there may be thousands of agents. As in tokio's channel, a fair semaphore decides which
//! sender is next.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll, Waker, ready};

use tokio::sync::Semaphore;
use tokio::task::coop::poll_proceed;

use crate::runtime::sync::{Mutex, lock};

/// Returns a channel that holds at most `capacity` items.
pub(crate) fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "the capacity of a channel must be at least 1");
    let state = Mutex::new(ChannelState { items: VecDeque::new(), senders: 1, receiver: None });
    let shared = Arc::new(ChannelShared { slots: Semaphore::new(capacity), state });
    (Sender(shared.clone()), Receiver(shared))
}

#[derive(Debug)]
struct ChannelShared<T> {
    /// One permit for each free slot; closed once the receiver is closed or dropped.
    slots: Semaphore,
    state: Mutex<ChannelState<T>>,
}

#[derive(Debug)]
struct ChannelState<T> {
    items: VecDeque<T>,
    senders: usize,
    receiver: Option<Waker>,
}

/// The sending half of a [`channel`]; clones send to the same channel.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<ChannelShared<T>>);

impl<T> Sender<T> {
    /// Waits for a free slot. Returns the item if the receiver is closed or dropped.
    pub(crate) async fn send(&self, item: T) -> Result<(), T> {
        let Ok(slot) = self.0.slots.acquire().await else { return Err(item) };
        // The receiver returns the permit when it takes the item.
        slot.forget();
        let mut state = lock(&self.0.state);
        state.items.push_back(item);
        let receiver = state.receiver.take();
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.0.state).senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.senders -= 1;
        let receiver = if state.senders == 0 { state.receiver.take() } else { None };
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
    }
}

/// The receiving half of a [`channel`]: items come out in the order in which they went in.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<ChannelShared<T>>);

impl<T> Receiver<T> {
    /// Accepts no further items; those already in the channel can still be received.
    pub(crate) fn close(&mut self) {
        self.0.slots.close();
    }

    /// Whether no further items can come: the channel is closed, or all senders are dropped.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.slots.is_closed() || lock(&self.0.state).senders == 0
    }

    /// Polls for the next item; `None` once the channel is empty, and all senders are dropped or it is
    /// [closed](Receiver::close).
    pub(crate) fn poll_recv(&mut self, task: &mut task::Context<'_>) -> Poll<Option<T>> {
        let coop = ready!(poll_proceed(task));
        let mut state = lock(&self.0.state);
        let Some(item) = state.items.pop_front() else {
            if state.senders == 0 || self.0.slots.is_closed() {
                coop.made_progress();
                return Poll::Ready(None);
            }
            state.receiver = Some(task.waker().clone());
            return Poll::Pending;
        };
        coop.made_progress();
        drop(state);
        self.0.slots.add_permits(1);
        Poll::Ready(Some(item))
    }

    pub(crate) async fn recv(&mut self) -> Option<T> {
        poll_fn(|task| self.poll_recv(task)).await
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
        // A sender that already has a slot may still add its item, which is dropped with the last sender.
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
    async fn senders_wait_for_a_free_slot_and_items_arrive_in_order() {
        let (sender, mut receiver) = channel(2);
        for item in 0..2 {
            sender.send(item).await.unwrap();
        }
        assert!(timeout(SOON, sender.send(9)).await.is_err());
        let all = tokio::join!(
            async {
                for item in 2..100 {
                    sender.send(item).await.unwrap();
                }
                drop(sender);
            },
            async {
                let mut items = Vec::new();
                while let Some(item) = receiver.recv().await {
                    items.push(item);
                }
                items
            }
        );
        assert_eq!(all.1, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_send_does_not_take_the_slot_of_a_waiting_one() {
        let (sender, mut receiver) = channel(1);
        sender.send(0).await.unwrap();
        let abandons = async { assert!(timeout(SOON, sender.send(1)).await.is_err()) };
        let waits = async { sender.send(2).await.unwrap() };
        let receives = async {
            sleep(2 * SOON).await;
            assert_eq!(receiver.recv().await, Some(0));
            assert_eq!(timeout(SOON, receiver.recv()).await.unwrap(), Some(2));
        };
        tokio::join!(abandons, waits, receives);
    }

    #[tokio::test(start_paused = true)]
    async fn senders_get_their_items_back_without_a_receiver() {
        let (sender, receiver) = channel(1);
        sender.send(0).await.unwrap();
        let drops_receiver = async {
            sleep(SOON).await;
            drop(receiver);
        };
        let (sent, ()) = tokio::join!(sender.send(1), drops_receiver);
        assert_eq!(sent, Err(1));
        assert_eq!(sender.send(2).await, Err(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_receiver_ends_when_the_last_sender_is_dropped() {
        let (sender, mut receiver) = channel::<u8>(1);
        let other = sender.clone();
        let drop_senders = async {
            drop(sender);
            sleep(SOON).await;
            drop(other);
        };
        let (item, ()) = tokio::join!(timeout(2 * SOON, receiver.recv()), drop_senders);
        assert_eq!(item.unwrap(), None);
    }

    #[tokio::test]
    async fn a_receiver_that_is_never_empty_yields() {
        let (sender, mut receiver) = channel(1000);
        for item in 0..1000 {
            sender.send(item).await.unwrap();
        }
        let received = AtomicUsize::new(0);
        let receives = async {
            while receiver.recv().await.is_some_and(|item| item < 999) {
                received.fetch_add(1, Ordering::Relaxed);
            }
        };
        let observes = async { received.load(Ordering::Relaxed) };
        let ((), seen) = tokio::join!(receives, observes);
        assert!(seen < 999, "it received {seen} items without yielding");
    }
}
