//! The FIFO wait queue under the semaphore, the rate limiter and the budget ledger.
//!
//! A [`WaitQueue`] is plain data behind the lock of its owner. It owns the order of the waiters, their wakers, and the
//! results that have not been taken yet. It never wakes or drops a waker itself: either may run arbitrary code, so the
//! owner does both after it has released its lock, for many waiters at once with a [`WakeList`].
//!
//! A wait ends in one of two ways:
//!
//! - [`WaitQueue::pop_front`]: the end of the wait is the whole result, and the waiter learns it from its number alone.
//! - [`WaitQueue::complete`]: the waiter gets a result of its own, which the queue keeps until the waiter takes it.
//!
//! In both cases a waiter takes nothing for itself. The task that finds that the first waiter can go serves it and
//! continues with the next: a task that has given something back, a new caller, or a waiter whose own time has come.
//! So a waiter that is not polled, such as the losing branch of a `select!`, does not block the queue: its result is
//! ready for it. If that waiter is dropped instead, the owner takes the result back.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, Waker};

use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Instant, Sleep, sleep_until};

/// Entries whose memory is kept for later waiters when the queue becomes empty.
const RETAINED_CAPACITY: usize = 1024;

/// Waiters in the order of their numbers, each with a request `W`, and results `R` that have not been taken.
///
/// Every waiter gets the next number. All numbers below that of the first waiter have been served or have left. So
/// where the end of the wait is the whole result, serving a waiter is a pop and stores nothing.
pub(crate) struct WaitQueue<W = (), R = Infallible> {
    /// Numbers and waiters; `None` for a waiter that has left. The first entry has not left.
    waiting: VecDeque<(u64, Option<Waiter<W>>)>,
    next_number: u64,
    /// Entries in `waiting` whose waiters have left.
    gaps: usize,
    results: BTreeMap<u64, R>,
}

/// A task in the queue, and what it waits for.
pub(crate) struct Waiter<W> {
    pub(crate) waker: Waker,
    pub(crate) request: W,
}

/// The part of the queue that a waiter leaves behind when it goes away.
pub(crate) enum Removed<W, R> {
    /// A result that it has not taken.
    Result(R),
    /// Its place in the queue. The waker must be dropped after the lock is released.
    Waiter(Waiter<W>),
}

impl<W, R> Default for WaitQueue<W, R> {
    fn default() -> Self {
        WaitQueue { waiting: VecDeque::new(), next_number: 0, gaps: 0, results: BTreeMap::new() }
    }
}

impl<W, R> WaitQueue<W, R> {
    /// Returns how many tasks wait; those with a result are not among them.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() - self.gaps
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a waiter at the end, and returns its number.
    pub(crate) fn push(&mut self, waker: Waker, request: W) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.push_back((number, Some(Waiter { waker, request })));
        number
    }

    pub(crate) fn first(&mut self) -> Option<(u64, &mut Waiter<W>)> {
        self.waiting.front_mut().and_then(|(number, waiter)| Some((*number, waiter.as_mut()?)))
    }

    /// Returns the waiter with this number, if it still waits.
    pub(crate) fn get(&mut self, number: u64) -> Option<&mut Waiter<W>> {
        let index = self.find(number)?;
        self.waiting[index].1.as_mut()
    }

    /// Returns the requests of the waiters before `number`.
    pub(crate) fn ahead_of(&self, number: u64) -> impl Iterator<Item = &W> {
        let ahead = self.waiting.iter().take_while(move |(other, _)| *other < number);
        ahead.filter_map(|(_, waiter)| waiter.as_ref().map(|waiter| &waiter.request))
    }

    /// Returns all waiters, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &W)> {
        self.waiting.iter().filter_map(|(number, waiter)| waiter.as_ref().map(|waiter| (*number, &waiter.request)))
    }

    /// Stores the current waker of a waiter. Returns the former one, which must be dropped after the lock is released.
    pub(crate) fn update_waker(&mut self, number: u64, waker: &Waker) -> Option<Waker> {
        let known = &mut self.get(number)?.waker;
        if known.will_wake(waker) { None } else { Some(std::mem::replace(known, waker.clone())) }
    }

    /// Ends the wait of the first waiter. Wake it after the lock is released.
    pub(crate) fn pop_front(&mut self) -> Option<Waiter<W>> {
        let (_, waiter) = self.waiting.pop_front()?;
        self.trim_front();
        waiter
    }

    /// Whether the waiter with this number, which has not left, was served by [`WaitQueue::pop_front`].
    pub(crate) fn was_popped(&self, number: u64) -> bool {
        self.waiting.front().is_none_or(|(first, _)| number < *first)
    }

    /// Ends the wait of one waiter with a result. Wake it after the lock is released.
    pub(crate) fn complete(&mut self, number: u64, result: R) -> Option<Waiter<W>> {
        let waiter = self.remove_waiter(number)?;
        self.results.insert(number, result);
        Some(waiter)
    }

    /// Returns the result for `number`, once.
    pub(crate) fn take_result(&mut self, number: u64) -> Option<R> {
        if self.results.is_empty() { None } else { self.results.remove(&number) }
    }

    /// Removes whatever the queue has for `number`, because its task goes away.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Removed<W, R>> {
        match self.take_result(number) {
            Some(result) => Some(Removed::Result(result)),
            None => self.remove_waiter(number).map(Removed::Waiter),
        }
    }

    /// Removes a waiter. One that leaves the middle of the queue leaves a gap; gaps are closed once they are the larger
    /// part.
    fn remove_waiter(&mut self, number: u64) -> Option<Waiter<W>> {
        let index = self.find(number)?;
        let waiter = self.waiting[index].1.take()?;
        self.gaps += 1;
        if self.gaps > self.waiting.len() / 2 {
            self.waiting.retain(|(_, waiter)| waiter.is_some());
            self.gaps = 0;
        }
        self.trim_front();
        Some(waiter)
    }

    /// Returns the number of entries, gaps included.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn entries(&self) -> usize {
        self.waiting.len()
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&number, |(other, _)| *other).ok()
    }

    /// Removes the gaps in front of the first waiter.
    fn trim_front(&mut self) {
        while let Some((_, None)) = self.waiting.front() {
            self.waiting.pop_front();
            self.gaps -= 1;
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(RETAINED_CAPACITY);
        }
    }
}

/// The owner of a [`WaitQueue`] whose waits end with a result: it has the lock, and serves the waiters.
pub(crate) trait QueueOwner: Sync {
    type Output;

    /// Takes the result of a waiter, or stores its waker.
    fn poll_waiter(&self, number: u64, waker: &Waker) -> WaiterPoll<Self::Output>;

    /// Removes a waiter that goes away, gives back a result that it has not taken, and serves the others.
    fn abandon(&self, number: u64);
}

/// The state of a waiter when it polls its owner.
pub(crate) enum WaiterPoll<T> {
    Ready(T),
    /// Another task wakes the waiter.
    Pending,
    /// The waiter must poll again at this time, unless another task wakes it earlier.
    PendingUntil(Instant),
}

/// The answer to a new caller: a result at once, or a place in the queue.
pub(crate) enum Admit<'a, Q: QueueOwner, T> {
    Admitted(T),
    Queued(Waiting<'a, Q>),
}

/// A place in the queue of `Q`. Dropping it leaves the queue, or gives back the result.
pub(crate) struct Waiting<'a, Q: QueueOwner> {
    owner: &'a Q,
    /// `None` once the result is taken.
    number: Option<u64>,
}

impl<'a, Q: QueueOwner> Waiting<'a, Q> {
    pub(crate) fn new(owner: &'a Q, number: u64) -> Self {
        Waiting { owner, number: Some(number) }
    }

    pub(crate) fn poll_once(&mut self, waker: &Waker) -> WaiterPoll<Q::Output> {
        let Some(number) = self.number else { return WaiterPoll::Pending };
        let poll = self.owner.poll_waiter(number, waker);
        if let WaiterPoll::Ready(_) = poll {
            self.number = None;
        }
        poll
    }

    /// Waits for the result.
    pub(crate) async fn result(mut self) -> Q::Output {
        // Boxed: most waits end without a timer.
        let mut alarm: Option<Pin<Box<Unconstrained<Sleep>>>> = None;
        let mut alarm_at = None;
        poll_fn(|task| {
            loop {
                let due = match self.poll_once(task.waker()) {
                    WaiterPoll::Ready(result) => return Poll::Ready(result),
                    WaiterPoll::Pending => return Poll::Pending,
                    WaiterPoll::PendingUntil(due) => due,
                };
                if alarm_at != Some(due) {
                    alarm_at = Some(due);
                    // Unconstrained: a task that has used up its cooperative budget must not stop the clock.
                    let sleep = unconstrained(sleep_until(due));
                    match &mut alarm {
                        Some(alarm) => alarm.as_mut().set(sleep),
                        None => alarm = Some(Box::pin(sleep)),
                    }
                }
                match alarm.as_mut().map(|alarm| alarm.as_mut().poll(task)) {
                    Some(Poll::Ready(())) => alarm_at = None,
                    _ => return Poll::Pending,
                }
            }
        })
        .await
    }
}

impl<Q: QueueOwner> Drop for Waiting<'_, Q> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.owner.abandon(number);
        }
    }
}

/// Wakers to wake or drop once no lock is held, because either may run arbitrary code.
#[derive(Default)]
#[must_use = "the tasks wait until they are woken"]
pub(crate) struct WakeList {
    wakers: Vec<Waker>,
    /// The waker of the calling task, which is awake: it is only dropped.
    own: Option<Waker>,
}

impl WakeList {
    pub(crate) fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        self.wakers.extend(wakers);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }

    pub(crate) fn drop_later(&mut self, waker: Option<Waker>) {
        self.own = waker.or(self.own.take());
    }

    pub(crate) fn wake(self) {
        self.wakers.into_iter().for_each(Waker::wake);
    }
}
