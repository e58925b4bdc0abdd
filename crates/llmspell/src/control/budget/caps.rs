//! The caps of a budget, and the error of a call that does not fit.

use crate::display;
use crate::error::{Error, ErrorKind};
use crate::observe::cost::Cost;
use crate::observe::usage::Usage;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Caps {
    pub(super) tokens: Option<u64>,
    pub(super) cost: Option<Cost>,
}

impl Caps {
    /// Whether nothing is left after `used`.
    pub(super) fn are_reached(&self, used: Usage) -> bool {
        self.tokens.is_some_and(|cap| used.tokens() >= cap) || self.cost.is_some_and(|cap| used.cost >= cap)
    }

    /// Whether `used` is within the caps.
    pub(super) fn allow(&self, used: Usage) -> bool {
        self.tokens.is_none_or(|cap| used.tokens() <= cap) && self.cost.is_none_or(|cap| used.cost <= cap)
    }

    /// Returns the error of a call that was expected to use `expected`.
    pub(super) fn rejection(&self, spent: Usage, expected: Option<Usage>) -> Error {
        let tokens = self.tokens.map(|cap| format!("{} of {cap} tokens", spent.tokens()));
        let cost = self.cost.map(|cap| format!("{} of {} in cost", display::amount(spent.cost), display::amount(cap)));
        let spent_so_far: Vec<String> = tokens.into_iter().chain(cost).collect();
        let mut message = format!("budget exhausted: {} are spent", spent_so_far.join(" and "));
        if let Some(expected) = expected.filter(|_| !self.are_reached(spent)) {
            let tokens = self.tokens.map(|_| format!("{} tokens", expected.tokens()));
            let cost = self.cost.map(|_| display::amount(expected.cost));
            let needs: Vec<String> = tokens.into_iter().chain(cost).collect();
            message = format!("{message}, and a call needs about {}", needs.join(" and "));
        }
        let hint = "raise the budget; rejected work can be run again later";
        Error::new(ErrorKind::Rejected, message).with_hint(hint)
    }
}
