//! The prices of a model's tokens.

use crate::observe::usage::Usage;

/// Prices per million tokens, in a unit of the caller's choice.
///
/// ```
/// use llmspell::Usage;
/// use llmspell::model::Prices;
///
/// let prices = Prices::per_million(0.25, 2.0);
/// assert_eq!(prices.of(Usage::new(4_000, 1_000)).cost, 0.003);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prices {
    input: f64,
    output: f64,
}

impl Prices {
    /// Creates prices per million input and output tokens.
    pub fn per_million(input: f64, output: f64) -> Self {
        Prices { input, output }
    }

    /// Returns the usage with its cost. Usage that has a cost already keeps it.
    pub fn of(self, usage: Usage) -> Usage {
        if usage.cost > 0.0 {
            return usage;
        }
        let cost = usage.input_tokens as f64 * self.input + usage.output_tokens as f64 * self.output;
        usage.with_cost(cost / 1e6)
    }
}
