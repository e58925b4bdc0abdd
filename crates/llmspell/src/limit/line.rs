//! A line of tasks that wait, first come, first served.

use std::collections::VecDeque;
use std::task::Waker;

/// Places kept for the next to wait when the line is empty.
const KEPT: usize = 1024;

/// Everybody draws a number and is called in the order of the numbers.
///
/// All numbers below that of the first in line have been called or have left. So whoever waits learns from its
/// number alone that it was called, and being called takes nothing but a pop.
#[derive(Default)]
pub(super) struct Line {
    /// Numbers with those who drew them; `None` for one who has left. The first in line has not left.
    waiting: VecDeque<(u64, Option<Waker>)>,
    next: u64,
    /// How many in `waiting` have left.
    left: usize,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.waiting.len() - self.left
    }

    /// Draws a number.
    pub(super) fn join(&mut self, waker: Waker) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.push_back((number, Some(waker)));
        number
    }

    /// Whether the holder of `number`, who has not left, was called.
    pub(super) fn has_called(&self, number: u64) -> bool {
        self.waiting.front().is_none_or(|(first, _)| number < *first)
    }

    /// Takes note of the waker of one who waits; the one it had is to be dropped once the lock is free.
    pub(super) fn update(&mut self, number: u64, waker: &Waker) -> Option<Waker> {
        let place = self.find(number)?;
        let known = self.waiting[place].1.as_mut()?;
        if known.will_wake(waker) { None } else { Some(std::mem::replace(known, waker.clone())) }
    }

    /// Calls the first in line, who is to be woken once the lock is free.
    pub(super) fn call(&mut self) -> Option<Waker> {
        let (_, waker) = self.waiting.pop_front()?;
        self.tidy();
        waker
    }

    /// Takes one who waits out of the line. The waker is to be dropped once the lock is free.
    pub(super) fn leave(&mut self, number: u64) -> Option<Waker> {
        let place = self.find(number)?;
        let waker = self.waiting[place].1.take()?;
        self.left += 1;
        if self.left > self.waiting.len() / 2 {
            self.waiting.retain(|(_, waker)| waker.is_some());
            self.left = 0;
        }
        self.tidy();
        Some(waker)
    }

    /// Places in memory, of those who have left as well.
    #[cfg(all(test, not(shuttle)))]
    pub(super) fn places(&self) -> usize {
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
