//! How much may be spent.

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
    /// Whether there is nothing left after `used`.
    pub(super) fn are_reached(&self, used: Usage) -> bool {
        self.tokens.is_some_and(|cap| used.tokens() >= cap) || self.cost.is_some_and(|cap| used.cost >= cap)
    }

    /// Whether `used` is not too much.
    pub(super) fn hold(&self, used: Usage) -> bool {
        self.tokens.is_none_or(|cap| used.tokens() <= cap) && self.cost.is_none_or(|cap| used.cost <= cap)
    }

    /// The error of a call that was to use about `wanted`.
    pub(super) fn refusal(&self, spent: Usage, wanted: Option<Usage>) -> Error {
        let tokens = self.tokens.map(|cap| format!("{} of {cap} tokens", spent.tokens()));
        let cost = self.cost.map(|cap| format!("{} of {} in cost", display::amount(spent.cost), display::amount(cap)));
        let spent_so_far: Vec<String> = tokens.into_iter().chain(cost).collect();
        let mut message = format!("the budget is used up: {} are spent", spent_so_far.join(" and "));
        if let Some(wanted) = wanted.filter(|_| !self.are_reached(spent)) {
            let tokens = self.tokens.map(|_| format!("{} tokens", wanted.tokens()));
            let cost = self.cost.map(|_| display::amount(wanted.cost));
            let wants: Vec<String> = tokens.into_iter().chain(cost).collect();
            message = format!("{message}, and a call needs about {}", wants.join(" and "));
        }
        let hint = "raise the budget; what is refused can be run again later";
        Error::new(ErrorKind::Rejected, message).with_hint(hint)
    }
}
