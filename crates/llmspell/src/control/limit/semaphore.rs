//! Permits, given to those who ask in the order in which they ask.
//!
//! Taking a permit, waiting for one and giving one back are one short critical section each. Wakers are woken
//! and dropped outside of it, for either may run anybody's code.
//!
//! Whenever the lock is free, either there is no room or nobody waits. So whoever comes while others wait
//! finds no room and goes to the end of the line, and a permit that comes back goes straight to the first in
//! it: nobody can snatch it before that one is awake. One who was called and is dropped before it has looked
//! passes its permit on.
//!
//! # How much room there is
//!
//! There is room while `in_use < capacity + min(strays, overdraft)`. A *stray* is a permit whose caller has gone
//! while work that cannot be stopped still runs under it. It stays in use, but up to `overdraft` of them are
//! made up for by permits beyond the capacity. When a stray ends, both sides of the comparison fall by one: it
//! repays the loan, and nobody is called. The capacity may change at any time: when it grows, those in line
//! are called at once; when it shrinks, permits that come back find no room until enough of them have.
//!
//! # Spares
//!
//! A permit can come back with something that the next to hold one can use instead of making it anew.

#[cfg(all(test, not(shuttle)))]
mod properties;
#[cfg(all(test, shuttle))]
mod schedules;

use std::pin::Pin;
use std::task::{self, Poll, Waker};

use crate::runtime::sync::{Mutex, MutexGuard, lock};
use crate::runtime::wait_list::WaitList;
use crate::runtime::wait_queue::WakeList;

/// The most spares that are kept.
const SPARES: usize = 1024;

pub(crate) struct Semaphore<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    capacity: usize,
    overdraft: usize,
    /// Permits that somebody has, strays among them.
    in_use: usize,
    /// Signed, because the end of a stray may be noted before its beginning. The sum is never too large.
    strays: isize,
    line: WaitList,
    spares: Vec<T>,
}

/// How busy a semaphore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) capacity: usize,
    pub(crate) available: usize,
    pub(crate) in_use: usize,
    pub(crate) waiting: usize,
    /// Of those in use, the permits whose callers have gone.
    pub(crate) strays: usize,
}

impl<T> Semaphore<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (line, spares) = (WaitList::default(), Vec::new());
        Semaphore { state: Mutex::new(State { capacity, overdraft: 0, in_use: 0, strays: 0, line, spares }) }
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.lock();
        Load {
            capacity: state.capacity,
            available: state.room(),
            in_use: state.in_use,
            waiting: state.line.len(),
            strays: state.strays(),
        }
    }

    /// A permit and what a former holder has left, if nobody has to be waited for.
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

    /// Waits in line for the same. Dropping the future leaves the line.
    pub(crate) fn acquire(&self) -> Acquire<'_, T> {
        Acquire { semaphore: self, number: None }
    }

    /// Changes how many permits there are. Those in use beyond them stay until they come back. Whoever gets one
    /// by it is to be woken once no lock is held.
    pub(crate) fn resize(&self, capacity: usize) -> WakeList {
        self.change(|state| state.capacity = capacity)
    }

    /// Changes how many strays are made up for.
    pub(crate) fn set_overdraft(&self, overdraft: usize) {
        self.change(|state| state.overdraft = overdraft).wake();
    }

    fn change(&self, change: impl FnOnce(&mut State<T>)) -> WakeList {
        let mut state = self.lock();
        change(&mut state);
        let mut called = WakeList::default();
        called.extend(std::iter::from_fn(|| state.call()));
        called
    }

    /// Takes back the permit of a stray.
    pub(crate) fn end_stray(&self) {
        let mut state = self.lock();
        state.strays -= 1;
        state.in_use -= 1;
        wake(state);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }
}

impl<T> State<T> {
    fn strays(&self) -> usize {
        usize::try_from(self.strays).unwrap_or(0)
    }

    fn room(&self) -> usize {
        let lent = self.strays().min(self.overdraft);
        self.capacity.saturating_add(lent).saturating_sub(self.in_use)
    }

    /// Gives a permit to the first in line, if there is room; to be woken once the lock is free.
    fn call(&mut self) -> Option<Waker> {
        if self.room() == 0 {
            return None;
        }
        let called = self.line.call()?;
        self.in_use += 1;
        Some(called.waker)
    }
}

/// Calls the next in line after one permit came back, frees the lock, and wakes whom it called.
fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
    let called = state.call();
    drop(state);
    if let Some(waker) = called {
        waker.wake();
    }
}

/// The right to run; it goes back when this is dropped.
#[must_use = "a permit goes back when it is dropped"]
pub(crate) struct Permit<'a, T> {
    semaphore: &'a Semaphore<T>,
}

impl<T> Permit<'_, T> {
    /// Gives it back, with something for the next holder.
    #[inline]
    pub(crate) fn give_back(self, spare: T) {
        let semaphore = self.semaphore;
        std::mem::forget(self);
        let mut state = semaphore.lock();
        state.in_use -= 1;
        let surplus = if state.spares.len() < SPARES {
            state.spares.push(spare);
            None
        } else {
            Some(spare)
        };
        wake(state);
        drop(surplus);
    }

    /// The caller goes, the work stays: the permit comes back with [`Semaphore::end_stray`].
    pub(crate) fn stray(self) {
        let semaphore = self.semaphore;
        std::mem::forget(self);
        let mut state = semaphore.lock();
        state.strays += 1;
        wake(state);
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        let mut state = self.semaphore.lock();
        state.in_use -= 1;
        wake(state);
    }
}

/// A place in the line; made by [`Semaphore::acquire`].
pub(crate) struct Acquire<'a, T> {
    semaphore: &'a Semaphore<T>,
    /// The number drawn, while it stands for something.
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
                self.number = Some(state.line.join(task.waker().clone(), ()));
                return Poll::Pending;
            }
            Some(number) if state.line.has_called(number) => self.number = None,
            Some(number) => {
                let former = state.line.update(number, task.waker());
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
        if state.line.has_called(number) {
            state.in_use -= 1;
            wake(state);
        } else {
            let waiter = state.line.leave(number);
            drop(state);
            drop(waiter);
        }
    }
}
