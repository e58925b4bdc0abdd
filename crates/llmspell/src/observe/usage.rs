//! Consumption: tokens and money.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::cost::Cost;

/// The consumption of a call, an item or a run.
///
/// A step reports it with [`Context::record_usage`](crate::Context::record_usage). Rates and budgets above the step are
/// charged; the [outcome](crate::observe::Provenance::usage) and the [report](crate::observe::Report::usage) add it up.
///
/// ```
/// use llmspell::observe::{Cost, Usage};
///
/// let one = Usage::new(1_200, 300).with_cost(0.0042);
/// let two = one + Usage::new(0, 500);
/// assert_eq!((two.tokens(), two.cost), (2_000, Cost::new(0.0042)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Usage {
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// The cost; zero if it is not known.
    pub cost: Cost,
}

impl Usage {
    /// Returns a usage of these tokens, at no known cost.
    pub const fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Usage { input_tokens, output_tokens, cost: Cost::ZERO }
    }

    /// Returns the same usage at this cost: a [`Cost`] or an `f64`. An invalid amount counts as zero, as in [`Cost::new`].
    pub fn with_cost(self, cost: impl TryInto<Cost>) -> Self {
        Usage { cost: cost.try_into().unwrap_or(Cost::ZERO), ..self }
    }

    /// Returns the sum of input and output tokens.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// Whether nothing was consumed.
    pub fn is_zero(&self) -> bool {
        *self == Usage::default()
    }

    /// Returns the part of each amount that both have.
    pub(crate) fn common(self, other: Self) -> Self {
        Usage {
            input_tokens: self.input_tokens.min(other.input_tokens),
            output_tokens: self.output_tokens.min(other.output_tokens),
            cost: self.cost.min(other.cost),
        }
    }

    /// Returns what is left of each amount after `other`.
    pub(crate) fn without(self, other: Self) -> Self {
        Usage {
            input_tokens: self.input_tokens.saturating_sub(other.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(other.output_tokens),
            cost: self.cost.saturating_sub(other.cost),
        }
    }
}

impl Add for Usage {
    type Output = Usage;

    fn add(self, other: Usage) -> Usage {
        Usage {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cost: self.cost + other.cost,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Usage>>(usages: I) -> Usage {
        usages.fold(Usage::default(), Add::add)
    }
}
