//! A place in line.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, Waker};

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::RateLimiter;
use super::state::Admission;
use crate::error::Result;
use crate::runtime::executor::Alarm;
use crate::runtime::wait_queue::WakeList;

/// What one in line learns when it looks.
pub(super) enum PollResult {
    Answer(Result<Admission>),
    /// Its waker is woken.
    Called,
    /// When to look again.
    Again(Instant),
}

/// How somebody fares who comes.
pub(super) enum Admit<'a> {
    Admitted(Admission),
    InLine(WaitSlot<'a>),
}

/// A place in line. Dropping it gives it up, or the turn that was had there.
pub(super) struct WaitSlot<'a> {
    pub(super) door: &'a RateLimiter,
    /// `None` once the answer is fetched.
    pub(super) number: Option<u64>,
    pub(super) tokens: u64,
}

impl WaitSlot<'_> {
    /// Looks, and says when to look again if nobody calls before.
    pub(super) fn poll_look(&mut self, waker: &Waker) -> PollResult {
        let Some(number) = self.number else { return PollResult::Called };
        let look = self.door.look(number, self.tokens, waker);
        if let PollResult::Answer(_) = look {
            self.number = None;
        }
        look
    }

    /// Waits for the turn.
    pub(super) async fn turn(mut self) -> Result<Admission> {
        let mut alarm = pin!(Alarm::None);
        let mut set = None;
        poll_fn(|task| {
            loop {
                let due = match self.poll_look(task.waker()) {
                    PollResult::Answer(answer) => return Poll::Ready(answer),
                    PollResult::Called => return Poll::Pending,
                    PollResult::Again(due) => due,
                };
                if set != Some(due) {
                    set = Some(due);
                    // Unconstrained: a task that has used up its share of time must not stop the clock.
                    alarm.set(Some(unconstrained(sleep_until(due))));
                }
                match alarm.as_mut().as_pin_mut().map(|alarm| alarm.poll(task)) {
                    Some(Poll::Ready(())) => set = None,
                    _ => return Poll::Pending,
                }
            }
        })
        .await
    }
}

impl Drop for WaitSlot<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut called = WakeList::default();
        let mut state = self.door.lock();
        self.door.leave(&mut state, Instant::now(), (number, self.tokens), &mut called);
        drop(state);
        called.wake();
    }
}
