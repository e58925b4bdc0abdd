//! A fair semaphore whose capacity can change, and which can lend permits in place of orphaned ones.
//!
//! Taking a permit, waiting for one and releasing one are one short critical section each. Wakers are woken and
//! dropped outside of it, because either may run arbitrary code.
//!
//! Whenever the lock is free, either there is no room or no task waits. So a task that comes while others wait finds
//! no room and joins the end of the queue, and a released permit goes straight to the first waiter: no other task can
//! take it before that waiter is awake. A waiter that was given a permit and is dropped before it is polled passes the
//! permit on.
//!
//! # Room
//!
//! There is room while `in_use < capacity + min(orphaned, overdraft)`. An *orphaned* permit is one whose caller has
//! gone while work that cannot be stopped still runs under it. It stays in use, but up to `overdraft` orphaned permits
//! are compensated by permits beyond the capacity. When an orphaned permit ends, both sides of the comparison fall by
//! one: it repays the loan, and no waiter is served. The capacity can change at any time. When it grows, waiters are
//! served at once. When it shrinks, released permits find no room until enough of them have come back.
//!
//! # Spares
//!
//! A permit can be released with a spare: a value that the next holder reuses instead of allocating a new one.
//!
//! # A separate future for permits
//!
//! [`Acquire`] is not a [`Waiting`](crate::runtime::wait_queue::Waiting): a permit needs neither a stored result nor a
//! timer, and waiting for one is on the path of every busy limit. So [`Acquire`] enters the queue in its first poll,
//! under the same lock with which it looks for room.

#[cfg(all(test, not(shuttle)))]
mod properties;
#[cfg(all(test, shuttle))]
mod schedules;

use std::pin::Pin;
use std::task::{self, Poll, Waker};

use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::runtime::wait_queue::{WaitQueue, WakeList};

/// The most spares that are kept.
const MAX_SPARES: usize = 1024;

pub(crate) struct Semaphore<T> {
    state: Mutex<SemaphoreState<T>>,
}

struct SemaphoreState<T> {
    capacity: usize,
    overdraft: usize,
    /// Permits that are held, orphaned ones among them.
    in_use: usize,
    /// Signed, because the end of an orphaned permit may be noted before its beginning. The sum is never too large.
    orphaned: isize,
    queue: WaitQueue,
    spares: Vec<T>,
}

/// How busy a semaphore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) capacity: usize,
    pub(crate) available: usize,
    pub(crate) in_use: usize,
    pub(crate) waiting: usize,
    /// Permits in use whose callers have gone.
    pub(crate) orphaned: usize,
}

impl<T> Semaphore<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (queue, spares) = (WaitQueue::default(), Vec::new());
        let state = SemaphoreState { capacity, overdraft: 0, in_use: 0, orphaned: 0, queue, spares };
        Semaphore { state: Mutex::new(state) }
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.lock();
        Load {
            capacity: state.capacity,
            available: state.room(),
            in_use: state.in_use,
            waiting: state.queue.len(),
            orphaned: state.orphaned(),
        }
    }

    /// Returns a permit and a spare, if that needs no wait.
    #[inline(always)]
    pub(crate) fn try_acquire(&self) -> Option<(Permit<'_, T>, Option<T>)> {
        let mut state = self.lock();
        if state.room() == 0 {
            return None;
        }
        state.in_use += 1;
        let spare = state.spares.pop();
        drop(state);
        Some((Permit { semaphore: self }, spare))
    }

    /// Waits for a permit and a spare. Dropping the future leaves the queue.
    pub(crate) fn acquire(&self) -> Acquire<'_, T> {
        Acquire { semaphore: self, number: None }
    }

    /// Changes the number of permits. Permits in use beyond it stay until they are released. Wake the tasks that get a
    /// permit by this once no lock is held.
    pub(crate) fn resize(&self, capacity: usize) -> WakeList {
        self.change(|state| state.capacity = capacity)
    }

    /// Changes how many orphaned permits are compensated.
    pub(crate) fn set_overdraft(&self, overdraft: usize) {
        self.change(|state| state.overdraft = overdraft).wake();
    }

    fn change(&self, change: impl FnOnce(&mut SemaphoreState<T>)) -> WakeList {
        let mut state = self.lock();
        change(&mut state);
        let mut wake_list = WakeList::default();
        wake_list.extend(std::iter::from_fn(|| state.serve_one()));
        wake_list
    }

    /// Releases an orphaned permit.
    pub(crate) fn end_orphaned(&self) {
        let mut state = self.lock();
        state.orphaned -= 1;
        state.in_use -= 1;
        serve_and_unlock(state);
    }

    fn lock(&self) -> MutexGuard<'_, SemaphoreState<T>> {
        lock(&self.state)
    }
}

impl<T> SemaphoreState<T> {
    fn orphaned(&self) -> usize {
        usize::try_from(self.orphaned).unwrap_or(0)
    }

    fn room(&self) -> usize {
        let lent = self.orphaned().min(self.overdraft);
        self.capacity.saturating_add(lent).saturating_sub(self.in_use)
    }

    /// Gives a permit to the first waiter, if there is room. Wake it after the lock is released.
    fn serve_one(&mut self) -> Option<Waker> {
        if self.room() == 0 {
            return None;
        }
        let served = self.queue.pop_front()?;
        self.in_use += 1;
        Some(served.waker)
    }
}

/// Serves the next waiter after one permit came back, releases the lock, and then wakes the waiter.
fn serve_and_unlock<T>(mut state: MutexGuard<'_, SemaphoreState<T>>) {
    let served = state.serve_one();
    drop(state);
    if let Some(waker) = served {
        waker.wake();
    }
}

/// A permit to run, which is released when it is dropped.
#[must_use = "a permit is released when it is dropped"]
pub(crate) struct Permit<'a, T> {
    semaphore: &'a Semaphore<T>,
}

impl<T> Permit<'_, T> {
    /// Releases the permit, and leaves a spare for the next holder.
    #[inline]
    pub(crate) fn release_with(self, spare: T) {
        let semaphore = self.semaphore;
        std::mem::forget(self);
        let mut state = semaphore.lock();
        state.in_use -= 1;
        let surplus = if state.spares.len() < MAX_SPARES {
            state.spares.push(spare);
            None
        } else {
            Some(spare)
        };
        serve_and_unlock(state);
        drop(surplus);
    }

    /// Marks the permit as orphaned: the caller goes, the work stays. [`Semaphore::end_orphaned`] releases it.
    pub(crate) fn orphan(self) {
        let semaphore = self.semaphore;
        std::mem::forget(self);
        let mut state = semaphore.lock();
        state.orphaned += 1;
        serve_and_unlock(state);
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        let mut state = self.semaphore.lock();
        state.in_use -= 1;
        serve_and_unlock(state);
    }
}

/// A wait for a permit; created by [`Semaphore::acquire`].
pub(crate) struct Acquire<'a, T> {
    semaphore: &'a Semaphore<T>,
    /// The number in the queue; `None` before it is entered, and once the permit is returned.
    number: Option<u64>,
}

impl<'a, T> Future for Acquire<'a, T> {
    type Output = (Permit<'a, T>, Option<T>);

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let semaphore = self.semaphore;
        let mut state = semaphore.lock();
        match self.number {
            None if state.room() > 0 => state.in_use += 1,
            None => {
                self.number = Some(state.queue.push(task.waker().clone(), ()));
                return Poll::Pending;
            }
            Some(number) if state.queue.was_popped(number) => self.number = None,
            Some(number) => {
                let former = state.queue.update_waker(number, task.waker());
                drop(state);
                drop(former);
                return Poll::Pending;
            }
        }
        Poll::Ready((Permit { semaphore }, state.spares.pop()))
    }
}

impl<T> Drop for Acquire<'_, T> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.semaphore.lock();
        if state.queue.was_popped(number) {
            state.in_use -= 1;
            serve_and_unlock(state);
        } else {
            let removed = state.queue.remove(number);
            drop(state);
            drop(removed);
        }
    }
}
