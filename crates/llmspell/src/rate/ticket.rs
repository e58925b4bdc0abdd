//! One call under a rate: what it has reserved, and what it came to.

use std::sync::{Arc, Mutex, PoisonError};

use super::RateLimits;
use super::line::Line;
use crate::average::Average;
use crate::context::{Account, Meter};
use crate::error::{Error, Kind};
use crate::usage::Usage;

/// What a call has taken out of the buckets, as the work inside of it sees it: for as long as any of that is
/// left, also after the call.
pub(super) struct Ticket {
    line: Arc<Line>,
    /// What calls of this step usually use.
    average: Arc<Mutex<Average>>,
    reserved: u64,
    tokens: Mutex<Tokens>,
}

#[derive(Default)]
struct Tokens {
    /// Out of the bucket on behalf of this call.
    taken: u64,
    used: u64,
    /// Whether the call has said anything about what it used.
    told: bool,
}

impl Tokens {
    /// What was taken and not used, if anything is known of what was.
    fn settle(&mut self) -> u64 {
        if !self.told {
            return 0;
        }
        let unused = self.taken.saturating_sub(self.used);
        self.taken -= unused;
        unused
    }
}

impl Ticket {
    /// The ticket of a call that has taken its request and `reserved` tokens.
    pub(super) fn new(line: &Arc<Line>, average: &Arc<Mutex<Average>>, reserved: u64) -> Self {
        let tokens = Mutex::new(Tokens { taken: reserved, ..Tokens::default() });
        Ticket { line: line.clone(), average: average.clone(), reserved, tokens }
    }

    /// The call has ended: what it did not use goes back, if it has said anything. One that was refused by
    /// somebody further in never was a call.
    fn end(&self, refused: bool) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let (requests, unused) = if tokens.told {
            self.average.lock().unwrap_or_else(PoisonError::into_inner).learn(tokens.used as f64);
            (0, tokens.settle())
        } else if refused {
            (1, std::mem::take(&mut tokens.taken))
        } else {
            return;
        };
        // Whoever is woken by it may run anybody's code.
        drop(tokens);
        self.line.give(requests, unused);
    }
}

impl Meter for Ticket {
    fn account(&self) -> Account {
        Account::of(&self.line)
    }

    fn used(&self, usage: Usage) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.told = true;
        tokens.used = tokens.used.saturating_add(usage.tokens());
        let more = tokens.used.saturating_sub(tokens.taken);
        if more > 0 {
            tokens.taken = tokens.used;
            self.line.take_more(more);
        }
    }

    fn told(&self, limits: &RateLimits) -> bool {
        self.line.tighten(limits, self.reserved);
        true
    }
}

impl Drop for Ticket {
    /// Nothing more will be said: work that spoke only after the call had ended is settled, too.
    fn drop(&mut self) {
        let unused = self.tokens.get_mut().unwrap_or_else(PoisonError::into_inner).settle();
        if unused > 0 {
            self.line.give(0, unused);
        }
    }
}

/// A call as the rate sees it. Dropping it ends the call.
pub(super) struct Call {
    ticket: Arc<Ticket>,
    has_ended: bool,
}

impl Call {
    pub(super) fn new(ticket: Ticket) -> Self {
        Call { ticket: Arc::new(ticket), has_ended: false }
    }

    pub(super) fn meter(&self) -> Arc<dyn Meter> {
        self.ticket.clone()
    }

    pub(super) fn end(mut self, error: Option<&Error>) {
        self.has_ended = true;
        self.ticket.end(error.is_some_and(|error| error.kind() == Kind::Rejected));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.has_ended {
            self.ticket.end(false);
        }
    }
}
