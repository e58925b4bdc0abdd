//! `calculator`: evaluates a formula.

mod formula;
mod number;

use std::collections::BTreeMap;

use llmspell::schemars::JsonSchema;
use llmspell::tool::DynTool;
use llmspell::{Context, Tool};
use serde::Deserialize;
use serde_json::Number as Json;

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "llmspell::schemars")]
#[serde(deny_unknown_fields)]
struct Calculator {
    /// The formula, such as `(1 + x) ^ 2 / 3`. Operators from lowest to highest precedence: `+ -`, `* / %`, a sign,
    /// `^` (right-associative: `2^3^2` is 512, `-2^2` is -4). `%` is the remainder, with the sign of its left operand.
    /// Functions: abs, sqrt, exp, ln, log2, log10, sin, cos, tan, asin, acos, atan (in radians), floor, ceil, trunc,
    /// round(x) or round(x, digits), min, max and sum of any number of values. Constants: pi, e.
    formula: String,
    /// The values of the formula's variables.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, f64>")]
    values: BTreeMap<String, Json>,
}

/// Returns the tool.
pub(crate) fn calculator() -> DynTool {
    let description = "Computes a formula. Whole numbers are exact up to 19 digits, others have about 15; what has no value, \
                       such as a division by zero, is an error.";
    let compute =
        |calculator: Calculator, _: Context| async move { formula::compute(&calculator.formula, &calculator.values) };
    Tool::new("calculator", description, compute).erase()
}

#[cfg(test)]
mod tests {
    use llmspell::{ErrorKind, Result, Step};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    async fn call(arguments: Value) -> Result<Value> {
        calculator().run(arguments, &Context::new()).await
    }

    #[tokio::test]
    async fn formulas_have_the_values_of_mathematics() {
        for (formula, wanted) in [
            ("1 + 2 * 3", json!(7)),
            ("(1 + 2) * 3", json!(9)),
            ("2^3^2", json!(512)),
            ("-2^2", json!(-4)),
            ("2^-1", json!(0.5)),
            ("--3", json!(3)),
            ("2 - -3", json!(5)),
            ("10 - 3 - 2", json!(5)),
            ("7 / 2", json!(3.5)),
            ("6 / 2", json!(3)),
            ("-7 % 3", json!(-1)),
            ("7.5 % 2", json!(1.5)),
            ("9007199254740993 + 0", json!(9_007_199_254_740_993_i64)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1.5e3", json!(1500.0)),
            (".5 + 0.25", json!(0.75)),
            ("sqrt(16) + abs(-2)", json!(6.0)),
            ("round(2.5)", json!(3)),
            ("round(-2.345, 2)", json!(-2.35)),
            ("round(1234, -2)", json!(1200)),
            ("floor(-1.5) + ceil(1.2) + trunc(-1.9)", json!(-1)),
            ("max(1, 2.5, x) - min(y, 3)", json!(8)),
            ("sum(1, 2, 3) * 2", json!(12)),
            ("ln(e) + log10(1000) + log2(8)", json!(7.0)),
            ("cos(pi)", json!(-1.0)),
        ] {
            let found = call(json!({ "formula": formula, "values": { "x": 10, "y": 2 } })).await;
            assert_eq!(found.as_ref().ok(), Some(&wanted), "{formula}: {found:?}");
        }
    }

    #[tokio::test]
    async fn what_has_no_value_is_an_error_that_says_where() {
        let deep = format!("{}1{}", "(".repeat(100), ")".repeat(100));
        let signs = format!("{}1", "-".repeat(100));
        let long = format!("1{}", "+1".repeat(10_000));
        for (formula, why) in [
            ("1 / 0", "division by zero"),
            ("1 % 0", "division by zero"),
            ("1.0 / (1 - 1)", "division by zero"),
            ("9223372036854775807 + 1", "out of range"),
            ("-9223372036854775808 - 1", "out of range"),
            ("10^19", "out of range"),
            ("9223372036854775808", "out of range"),
            ("1e308 * 10", "out of range"),
            ("1e999", "out of range"),
            ("sqrt(-1)", "undefined result"),
            ("(-8) ^ 0.5", "undefined result"),
            ("0 ^ -1", "division by zero"),
            ("ln(0)", "undefined result"),
            ("1 +", "unexpected end"),
            ("", "unexpected end"),
            ("(1", "unexpected end"),
            ("1 2", "character 3"),
            ("1)", "character 2"),
            ("2x", "character 2"),
            ("1 $ 2", "`$`"),
            ("foo + 1", "`foo`"),
            ("sqr(2)", "did you mean `sqrt`?"),
            ("sqrt(1, 2)", "takes one value"),
            ("min()", "at least one"),
            ("round(1, 400)", "digits"),
            ("1..2", "character"),
            (&deep, "nested"),
            (&signs, "nested"),
            (&long, "longer than"),
        ] {
            let error = call(json!({ "formula": formula })).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{formula}: {error}");
            let formatted = format!("{error} {}", error.hint().unwrap_or_default());
            assert!(formatted.contains(why), "{formula}: {formatted}");
        }
        let error = call(json!({ "formula": "pi", "values": { "pi": 3 } })).await.unwrap_err();
        assert!(error.message().contains("is already defined"), "{error}");
    }

    proptest! {
        #[test]
        fn no_formula_makes_it_panic(formula in "[0-9.e+*/%^()a-z, -]{0,40}") {
            let _ = formula::compute(&formula, &BTreeMap::new());
        }

        #[test]
        fn whole_numbers_are_exact(a in any::<i64>(), b in any::<i64>(), c in 1..i64::MAX) {
            let formula = |text: String| formula::compute(&text, &BTreeMap::new()).ok().and_then(|value| value.as_i64());
            prop_assert_eq!(formula(format!("{a} + {b}")), a.checked_add(b));
            prop_assert_eq!(formula(format!("{a} - ({b})")), a.checked_sub(b));
            prop_assert_eq!(formula(format!("{a} * {b}")), a.checked_mul(b));
            prop_assert_eq!(formula(format!("{a} % {c}")), a.checked_rem(c));
        }
    }
}
