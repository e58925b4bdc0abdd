//! The value of `--budget`.

use std::str::FromStr;

use llmspell::Budget;
use llmspell_flow::Flow;

/// A cap on tokens, on cost, or on both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BudgetArg {
    tokens: Option<u64>,
    cost: Option<f64>,
}

impl BudgetArg {
    /// Returns the budget of a run.
    pub(crate) fn budget(self) -> Budget {
        match (self.tokens, self.cost) {
            (None, None) => Budget::unlimited(),
            (Some(tokens), None) => Budget::tokens(tokens),
            (None, Some(cost)) => Budget::cost(cost),
            (Some(tokens), Some(cost)) => Budget::builder().tokens(tokens).cost(cost).build(),
        }
    }

    /// Returns a warning if the cap is on cost and a model has no prices: such a model counts as free.
    pub(crate) fn unpriced_warning(self, flow: &Flow) -> Option<String> {
        self.cost?;
        let estimates = flow.plan().estimates;
        let unpriced: Vec<&str> =
            estimates.iter().filter(|estimate| estimate.prices.is_none()).map(|estimate| &*estimate.model).collect();
        let models = unpriced.join("`, `");
        (!unpriced.is_empty()).then(|| {
            format!(
                "warning: --budget is in usd, but `{models}` has no prices: its calls do not count\n\n\
                 hint: add `prices: {{ input: 0.4, output: 1.6 }}`, in usd per million tokens, under `models`, or set \
                 --budget in tokens"
            )
        })
    }

    /// Returns whether the budget covers this use. An unknown use is not covered.
    pub(crate) fn covers(self, tokens: Option<u64>, cost: Option<f64>) -> bool {
        let covers_tokens = self.tokens.is_none_or(|cap| tokens.is_some_and(|tokens| tokens <= cap));
        let covers_cost = self.cost.is_none_or(|cap| cost.is_some_and(|cost| cost <= cap));
        covers_tokens && covers_cost
    }
}

/// One amount of a budget.
enum Amount {
    Tokens(u64),
    Cost(f64),
}

impl FromStr for BudgetArg {
    type Err = String;

    /// Parses `5usd`, `200k tokens`, or both with a comma between them.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut budget = BudgetArg::default();
        for part in text.split(',') {
            let part = part.trim().to_ascii_lowercase();
            let repeated = match part.parse()? {
                Amount::Tokens(tokens) => budget.tokens.replace(tokens).is_some(),
                Amount::Cost(cost) => budget.cost.replace(cost).is_some(),
            };
            if repeated {
                return Err(format!("`{part}` repeats a unit: give at most one amount in usd and one in tokens"));
            }
        }
        Ok(budget)
    }
}

impl FromStr for Amount {
    type Err = String;

    /// Parses one amount, in lower case.
    fn from_str(part: &str) -> Result<Self, String> {
        let invalid = || format!("`{part}` is not an amount such as 5usd or 200k tokens");
        let out_of_range = || format!("`{part}` is not a usable amount: it must be positive and finite");
        if let Some(number) = part.strip_suffix("usd").or_else(|| part.strip_prefix('$')) {
            let cost: f64 = number.trim().parse().map_err(|_| invalid())?;
            return if cost.is_finite() && cost > 0.0 { Ok(Amount::Cost(cost)) } else { Err(out_of_range()) };
        }
        let number = part.strip_suffix("tokens").or_else(|| part.strip_suffix("token"));
        let number = number.ok_or_else(|| format!("`{part}` has no unit: write {part}usd or {part} tokens"))?.trim();
        let (number, factor) = match number.strip_suffix(['k', 'm']) {
            Some(rest) if number.ends_with('k') => (rest, 1e3),
            Some(rest) => (rest, 1e6),
            None => (number, 1.0),
        };
        let tokens = number.trim().replace('_', "").parse::<f64>().map_err(|_| invalid())? * factor;
        if (1.0..=1e15).contains(&tokens) { Ok(Amount::Tokens(tokens as u64)) } else { Err(out_of_range()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        let parse = |text: &str| text.parse::<BudgetArg>();
        assert_eq!(parse("5usd"), Ok(BudgetArg { tokens: None, cost: Some(5.0) }));
        assert_eq!(parse("$0.50"), Ok(BudgetArg { tokens: None, cost: Some(0.5) }));
        assert_eq!(parse("200k tokens"), Ok(BudgetArg { tokens: Some(200_000), cost: None }));
        assert_eq!(parse("1.5Mtokens, 2 USD"), Ok(BudgetArg { tokens: Some(1_500_000), cost: Some(2.0) }));
        assert!(parse("5").unwrap_err().contains("write 5usd or 5 tokens"));
        for invalid in ["", "usd", "-1usd", "0usd", "nanusd", "1usd,2usd", "0 tokens", "x tokens", "5eur"] {
            assert!(parse(invalid).is_err(), "{invalid}");
        }
    }
}
