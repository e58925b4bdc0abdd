//! A line of tasks that wait, first come, first served.

use std::collections::VecDeque;
use std::task::Waker;

/// Places kept for the next to wait when the line is empty.
const KEPT: usize = 1024;

/// Everybody draws a number, says what it wants, and is called in the order of the numbers.
///
/// All numbers below that of the first in line have been called or have left. So where being called says
/// everything, whoever waits learns from its number alone that it was, and being called takes nothing but a pop.
pub(crate) struct WaitList<W = ()> {
    /// Numbers with those who drew them; `None` for one who has left. The first in line has not left.
    waiting: VecDeque<(u64, Option<Waiter<W>>)>,
    next: u64,
    /// How many in `waiting` have left.
    left: usize,
}

/// One who waits, and for what.
pub(crate) struct Waiter<W> {
    pub(crate) waker: Waker,
    pub(crate) wants: W,
}

impl<W> Default for WaitList<W> {
    fn default() -> Self {
        WaitList { waiting: VecDeque::new(), next: 0, left: 0 }
    }
}

impl<W> WaitList<W> {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() - self.left
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Draws a number.
    pub(crate) fn join(&mut self, waker: Waker, wants: W) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.push_back((number, Some(Waiter { waker, wants })));
        number
    }

    /// Whether the holder of `number`, who has not left, was called.
    pub(crate) fn has_called(&self, number: u64) -> bool {
        self.waiting.front().is_none_or(|(first, _)| number < *first)
    }

    pub(crate) fn first(&mut self) -> Option<(u64, &mut Waiter<W>)> {
        self.waiting.front_mut().and_then(|(number, waiter)| Some((*number, waiter.as_mut()?)))
    }

    /// Whoever drew `number`, if it waits.
    pub(crate) fn get(&mut self, number: u64) -> Option<&mut Waiter<W>> {
        let place = self.find(number)?;
        self.waiting[place].1.as_mut()
    }

    /// What those want who stand before `number`.
    pub(crate) fn ahead_of(&self, number: u64) -> impl Iterator<Item = &W> {
        let ahead = self.waiting.iter().take_while(move |(other, _)| *other < number);
        ahead.filter_map(|(_, waiter)| waiter.as_ref().map(|waiter| &waiter.wants))
    }

    /// Everybody in line, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &W)> {
        self.waiting.iter().filter_map(|(number, waiter)| waiter.as_ref().map(|waiter| (*number, &waiter.wants)))
    }

    /// Takes note of the waker of one who waits; the one it had is to be dropped once the lock is free.
    pub(crate) fn update(&mut self, number: u64, waker: &Waker) -> Option<Waker> {
        let known = &mut self.get(number)?.waker;
        if known.will_wake(waker) { None } else { Some(std::mem::replace(known, waker.clone())) }
    }

    /// Calls the first in line, who is to be woken once the lock is free.
    pub(crate) fn call(&mut self) -> Option<Waiter<W>> {
        let (_, waiter) = self.waiting.pop_front()?;
        self.tidy();
        waiter
    }

    /// Takes one who waits out of the line. The waker is to be dropped once the lock is free.
    pub(crate) fn leave(&mut self, number: u64) -> Option<Waiter<W>> {
        let place = self.find(number)?;
        let waiter = self.waiting[place].1.take()?;
        self.left += 1;
        if self.left > self.waiting.len() / 2 {
            self.waiting.retain(|(_, waiter)| waiter.is_some());
            self.left = 0;
        }
        self.tidy();
        Some(waiter)
    }

    /// Places in memory, of those who have left as well.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn places(&self) -> usize {
        self.waiting.len()
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&number, |(drawn, _)| *drawn).ok()
    }

    /// Brings one who has not left to the front.
    fn tidy(&mut self) {
        while let Some((_, None)) = self.waiting.front() {
            self.waiting.pop_front();
            self.left -= 1;
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(KEPT);
        }
    }
}
