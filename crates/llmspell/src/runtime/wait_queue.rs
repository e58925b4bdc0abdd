//! A line in which everybody is told something of its own when its turn comes.
//!
//! Nobody takes anything for itself: whoever finds that the first in line can go, because it has given something
//! back, because it has come by, or because its own time has come, gives the first its answer and goes on with
//! the next. So a task that stands in line and is not polled, such as a branch of a `select!` that has lost,
//! holds up nobody: its answer lies ready for it. If it is dropped instead, the answer is for its owner to take back.

use std::collections::BTreeMap;
use std::task::Waker;

use crate::runtime::wait_list::WaitList;

/// Those who wait, each for what it wants, and answers that have not been fetched.
pub(crate) struct WaitQueue<W, A> {
    line: WaitList<W>,
    answers: BTreeMap<u64, A>,
}

impl<W, A> Default for WaitQueue<W, A> {
    fn default() -> Self {
        WaitQueue { line: WaitList::default(), answers: BTreeMap::new() }
    }
}

/// What somebody who goes away leaves behind.
pub(crate) enum Removed<W, A> {
    /// It has had its answer, and has not fetched it.
    Answer(A),
    /// It stood in line. The waker is to be dropped once the lock is free.
    Place(W, Waker),
}

impl<W, A> WaitQueue<W, A> {
    pub(crate) fn line(&self) -> &WaitList<W> {
        &self.line
    }

    pub(crate) fn line_mut(&mut self) -> &mut WaitList<W> {
        &mut self.line
    }

    /// Gives an answer to one who waits, and takes it out of the line; to be woken once the lock is free.
    pub(crate) fn answer(&mut self, number: u64, answer: A) -> Option<(W, Waker)> {
        let waiter = self.line.leave(number)?;
        self.answers.insert(number, answer);
        Some((waiter.wants, waiter.waker))
    }

    /// The answer for `number`, if there is one.
    pub(crate) fn fetch(&mut self, number: u64) -> Option<A> {
        if self.answers.is_empty() { None } else { self.answers.remove(&number) }
    }

    /// Whoever has `number` goes away.
    pub(crate) fn leave(&mut self, number: u64) -> Option<Removed<W, A>> {
        match self.fetch(number) {
            Some(answer) => Some(Removed::Answer(answer)),
            None => self.line.leave(number).map(|waiter| Removed::Place(waiter.wants, waiter.waker)),
        }
    }
}

/// Tasks to be woken once no lock is held, for to wake or to drop a waker may run anybody's code.
#[derive(Default)]
#[must_use = "they wait"]
pub(crate) struct WakeList {
    called: Vec<Waker>,
    /// That of whoever calls, who is awake: only to be dropped.
    own: Option<Waker>,
}

impl WakeList {
    pub(crate) fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        self.called.extend(wakers);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.called.is_empty()
    }

    pub(crate) fn drop_later(&mut self, waker: Option<Waker>) {
        self.own = waker.or(self.own.take());
    }

    pub(crate) fn wake(self) {
        self.called.into_iter().for_each(Waker::wake);
    }
}
