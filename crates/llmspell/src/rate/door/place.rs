//! A place in line.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, Waker};

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::Door;
use super::state::Admission;
use crate::error::Result;
use crate::executor::Alarm;
use crate::turnstile::Wakers;

/// What one in line learns when it looks.
pub(super) enum Look {
    Answer(Result<Admission>),
    /// Its waker is woken.
    Called,
    /// When to look again.
    Again(Instant),
}

/// How somebody fares who comes.
pub(super) enum Entry<'a> {
    Admitted(Admission),
    InLine(Place<'a>),
}

/// A place in line. Dropping it gives it up, or the turn that was had there.
pub(super) struct Place<'a> {
    pub(super) door: &'a Door,
    /// `None` once the answer is fetched.
    pub(super) number: Option<u64>,
    pub(super) tokens: u64,
}

impl Place<'_> {
    /// Looks, and says when to look again if nobody calls before.
    pub(super) fn poll_look(&mut self, waker: &Waker) -> Look {
        let Some(number) = self.number else { return Look::Called };
        let look = self.door.look(number, self.tokens, waker);
        if let Look::Answer(_) = look {
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
                    Look::Answer(answer) => return Poll::Ready(answer),
                    Look::Called => return Poll::Pending,
                    Look::Again(due) => due,
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

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut called = Wakers::default();
        let mut state = self.door.lock();
        self.door.leave(&mut state, Instant::now(), (number, self.tokens), &mut called);
        drop(state);
        called.wake();
    }
}
