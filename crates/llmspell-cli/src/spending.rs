//! `--budget`: what a run may use.

use llmspell::Budget;
use llmspell_flow::Flow;

/// A cap on tokens, on cost, or on both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spending {
    tokens: Option<u64>,
    cost: Option<f64>,
}

impl Spending {
    pub(crate) fn budget(self) -> Budget {
        match (self.tokens, self.cost) {
            (None, None) => Budget::unlimited(),
            (Some(tokens), None) => Budget::tokens(tokens),
            (None, Some(cost)) => Budget::cost(cost),
            (Some(tokens), Some(cost)) => Budget::builder().tokens(tokens).cost(cost).build(),
        }
    }

    /// What it cannot hold back: models whose prices nobody has given cost nothing, as far as anybody can tell.
    pub(crate) fn blind_spot(self, flow: &Flow) -> Option<String> {
        self.cost?;
        let estimates = flow.outline().estimates;
        let unpriced: Vec<&str> =
            estimates.iter().filter(|estimate| estimate.prices.is_none()).map(|estimate| &*estimate.model).collect();
        let models = unpriced.join("`, `");
        (!unpriced.is_empty()).then(|| {
            format!(
                "warning: --budget is in usd, and nobody has said what `{models}` costs: it holds nothing back\n\n\
                 hint: say `prices: {{ input: 0.4, output: 1.6 }}` under `models`, for a million tokens, or give tokens"
            )
        })
    }

    /// Whether it covers so many tokens and such a cost; what nobody knows is not covered.
    pub(crate) fn is_enough(self, tokens: Option<u64>, cost: Option<f64>) -> bool {
        let of_tokens = self.tokens.is_none_or(|most| tokens.is_some_and(|tokens| tokens <= most));
        let of_cost = self.cost.is_none_or(|most| cost.is_some_and(|cost| cost <= most));
        of_tokens && of_cost
    }
}

impl std::str::FromStr for Spending {
    type Err = String;

    /// `5usd`, `200k tokens`, or both with a comma between them.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut spending = Spending { tokens: None, cost: None };
        for part in text.split(',') {
            let part = part.trim().to_ascii_lowercase();
            let wrong = || format!("`{part}` is not an amount such as 5usd or 200k tokens");
            let doubled = || format!("`{part}` is the second amount of its sort");
            let cost = part.strip_suffix("usd").or_else(|| part.strip_prefix('$'));
            if let Some(number) = cost {
                let amount: f64 = number.trim().parse().map_err(|_| wrong())?;
                if !(amount.is_finite() && amount > 0.0) {
                    return Err(format!("`{part}`: nothing would ever run"));
                }
                if spending.cost.replace(amount).is_some() {
                    return Err(doubled());
                }
                continue;
            }
            let number = part.strip_suffix("tokens").or_else(|| part.strip_suffix("token"));
            let number =
                number.ok_or_else(|| format!("`{part}` has no unit: write {part}usd or {part} tokens"))?.trim();
            let (number, factor) = match number.strip_suffix(['k', 'm']) {
                Some(rest) if number.ends_with('k') => (rest, 1e3),
                Some(rest) => (rest, 1e6),
                None => (number, 1.0),
            };
            let amount: f64 = number.trim().replace('_', "").parse().map_err(|_| wrong())?;
            let amount = amount * factor;
            if !(1.0..=1e15).contains(&amount) {
                return Err(format!("`{part}`: nothing would ever run"));
            }
            if spending.tokens.replace(amount as u64).is_some() {
                return Err(doubled());
            }
        }
        Ok(spending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        let of = |text: &str| text.parse::<Spending>();
        assert_eq!(of("5usd"), Ok(Spending { tokens: None, cost: Some(5.0) }));
        assert_eq!(of("$0.50"), Ok(Spending { tokens: None, cost: Some(0.5) }));
        assert_eq!(of("200k tokens"), Ok(Spending { tokens: Some(200_000), cost: None }));
        assert_eq!(of("1.5Mtokens, 2 USD"), Ok(Spending { tokens: Some(1_500_000), cost: Some(2.0) }));
        assert!(of("5").unwrap_err().contains("write 5usd or 5 tokens"));
        for wrong in ["", "usd", "-1usd", "0usd", "nanusd", "1usd,2usd", "0 tokens", "x tokens", "5eur"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
