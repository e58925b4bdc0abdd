//! The prices of a model's tokens.

use crate::observe::cost::Cost;
use crate::observe::usage::Usage;

/// Prices per million tokens, in a unit of the caller's choice.
///
/// ```
/// use llmspell::model::Prices;
/// use llmspell::observe::{Cost, Usage};
///
/// let prices = Prices::per_million(0.25, 2.0);
/// assert_eq!(prices.of(Usage::new(4_000, 1_000)).cost, Cost::new(0.003));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    input: Cost,
    output: Cost,
}

impl Prices {
    /// Creates prices per million input and output tokens.
    pub fn per_million(input: f64, output: f64) -> Self {
        Prices { input: Cost::new(input), output: Cost::new(output) }
    }

    /// Returns the usage with its cost. Usage that has a cost already keeps it.
    pub fn of(self, usage: Usage) -> Usage {
        if !usage.cost.is_zero() {
            return usage;
        }
        let cost = self.input.per_million(usage.input_tokens) + self.output.per_million(usage.output_tokens);
        usage.with_cost(cost)
    }
}
