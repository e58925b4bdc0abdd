//! What calls consume: tokens and money.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// What a call, an item or a run has consumed.
///
/// A step says so with [`Context::record_usage`](crate::Context::record_usage); rates and budgets above it are charged, and the
/// [outcome](crate::Provenance::usage) and the [report](crate::Report::usage) add it up.
///
/// ```
/// use llmspell::Usage;
///
/// let one = Usage::new(1_200, 300).with_cost(0.0042);
/// let two = one + Usage::new(0, 500);
/// assert_eq!((two.tokens(), two.cost), (2_000, 0.0042));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens that went in.
    pub input_tokens: u64,
    /// Tokens that came out.
    pub output_tokens: u64,
    /// What it cost, in whatever unit the caller prices in; 0 if that is not known.
    pub cost: f64,
}

impl Usage {
    /// So many tokens, at no known cost.
    pub fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Usage { input_tokens, output_tokens, cost: 0.0 }
    }

    /// The same at this cost. One that is negative, or no number, counts as 0.
    pub fn with_cost(self, cost: f64) -> Self {
        Usage { cost, ..self }.sound()
    }

    /// Tokens in and out.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// Whether nothing was consumed.
    pub fn is_zero(&self) -> bool {
        self.tokens() == 0 && self.cost == 0.0
    }

    /// The same with a cost that can be added up.
    pub(crate) fn sound(self) -> Self {
        Usage { cost: if self.cost.is_finite() { self.cost.max(0.0) } else { 0.0 }, ..self }
    }

    /// The part of each that both have.
    pub(crate) fn common(self, other: Self) -> Self {
        Usage {
            input_tokens: self.input_tokens.min(other.input_tokens),
            output_tokens: self.output_tokens.min(other.output_tokens),
            cost: self.cost.min(other.cost),
        }
    }

    /// What is left of it after `other`.
    pub(crate) fn without(self, other: Self) -> Self {
        Usage {
            input_tokens: self.input_tokens.saturating_sub(other.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(other.output_tokens),
            cost: (self.cost - other.cost).max(0.0),
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
