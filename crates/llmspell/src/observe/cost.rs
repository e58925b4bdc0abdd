//! Amounts of money.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The parts of a unit that a [`Cost`] counts: 10⁻¹², so that a price per million tokens has a whole price per token.
const PARTS: u128 = 1_000_000_000_000;

/// Digits behind the point that [`PARTS`] stands for.
const DIGITS: usize = 12;

/// An amount of money that is never negative, in whatever unit the caller prices in.
///
/// It counts whole parts of 10⁻¹² of the unit, so sums are exact in any order: ten times a tenth is one. Sums that are too
/// large saturate. In JSON it is a number.
///
/// ```
/// use llmspell::observe::Cost;
///
/// let tenth = Cost::new(0.1);
/// assert_eq!(std::iter::repeat_n(tenth, 10).sum::<Cost>(), Cost::new(1.0));
/// assert_eq!((tenth + Cost::new(0.2)).to_string(), "0.3");
/// assert_eq!(format!("{:.2}", Cost::new(1.999)), "2.00");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(u128);

impl Cost {
    /// No cost.
    pub const ZERO: Cost = Cost(0);

    /// Returns this amount, rounded to 10⁻¹². An amount that is negative, infinite or not a number counts as zero, because
    /// servers report costs and a wrong report must not spoil a sum; [`Cost::try_from`] refuses such amounts.
    pub fn new(amount: f64) -> Self {
        Cost::try_from(amount).unwrap_or(Cost::ZERO)
    }

    /// Returns the nearest `f64`.
    pub fn as_f64(self) -> f64 {
        // The parts below 2^53 are exact, and the quotient of two exact numbers is the nearest one.
        self.0 as f64 / PARTS as f64
    }

    /// Whether this is zero.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns the amount without `other`, and zero if `other` is more.
    pub fn saturating_sub(self, other: Cost) -> Cost {
        Cost(self.0.saturating_sub(other.0))
    }

    /// Returns the price of `count` things, of which a million costs this much.
    pub(crate) fn per_million(self, count: u64) -> Cost {
        let million = 1_000_000;
        Cost(self.0.saturating_mul(count.into()).saturating_add(million / 2) / million)
    }
}

/// The error of [`Cost::try_from`]: an amount that is negative, infinite or not a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InvalidCost(f64);

impl fmt::Display for InvalidCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid cost `{}`: expected a finite number, at least 0", self.0)
    }
}

impl std::error::Error for InvalidCost {}

impl TryFrom<f64> for Cost {
    type Error = InvalidCost;

    fn try_from(amount: f64) -> Result<Self, InvalidCost> {
        // The cast saturates.
        let is_valid = amount.is_finite() && amount >= 0.0;
        if is_valid { Ok(Cost((amount * PARTS as f64).round() as u128)) } else { Err(InvalidCost(amount)) }
    }
}

impl From<Cost> for f64 {
    fn from(cost: Cost) -> f64 {
        cost.as_f64()
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        *self = *self + other;
    }
}

impl Mul<u64> for Cost {
    type Output = Cost;

    fn mul(self, times: u64) -> Cost {
        Cost(self.0.saturating_mul(times.into()))
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::ZERO, Add::add)
    }
}

/// Writes every digit that counts, and none behind them; with a precision such as `{:.2}`, exactly as many, rounded half
/// up.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision();
        let shown = precision.unwrap_or(DIGITS).min(DIGITS);
        // 10 to the power of the digits that are left out.
        let left_out = 10_u128.pow((DIGITS - shown) as u32);
        let rounded = self.0.saturating_add(left_out / 2) / left_out;
        let shown_parts = PARTS / left_out;
        let (whole, parts) = (rounded / shown_parts, rounded % shown_parts);
        let mut text = whole.to_string();
        if shown > 0 {
            text.push_str(&format!(".{parts:0shown$}"));
        }
        match precision {
            None => text.truncate(text.trim_end_matches('0').trim_end_matches('.').len()),
            Some(precision) => text.push_str(&"0".repeat(precision.saturating_sub(shown))),
        }
        // `pad` would take the precision for the most characters to write.
        let width = f.width().unwrap_or(0);
        write!(f, "{text:>width$}")
    }
}

impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

/// As lenient as [`Cost::new`].
impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Cost::new)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn display_has_no_noise() {
        let cases = [
            (0.0, "0", "0.00"),
            (0.1 + 0.2, "0.3", "0.30"),
            (5.0, "5", "5.00"),
            (120.0, "120", "120.00"),
            (0.000_000_4, "0.0000004", "0.00"),
            (0.995, "0.995", "1.00"),
            (1234.5678, "1234.5678", "1234.57"),
        ];
        for (amount, text, rounded) in cases {
            let cost = Cost::new(amount);
            assert_eq!((cost.to_string().as_str(), format!("{cost:.2}").as_str()), (text, rounded));
        }
        assert_eq!(
            format!("{:8.1}|{:.0}|{:.14}", Cost::new(2.25), Cost::new(2.5), Cost::new(0.5)),
            "     2.3|3|0.50000000000000"
        );
    }

    #[test]
    fn amounts_that_cannot_be_paid_are_refused_or_count_as_zero() {
        for amount in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            assert!(Cost::try_from(amount).is_err_and(|error| error.to_string().starts_with("invalid cost `")));
            assert_eq!(Cost::new(amount), Cost::ZERO);
        }
        assert_eq!(Cost::new(f64::MAX) + Cost::new(1.0), Cost::new(f64::MAX), "saturated");
    }

    #[test]
    fn prices_for_a_million_are_exact_for_one() {
        assert_eq!(Cost::new(0.0375).per_million(1) * 1_000_000, Cost::new(0.0375));
        assert_eq!(Cost::new(0.25).per_million(4_000) + Cost::new(2.0).per_million(1_000), Cost::new(0.003));
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_their_order(mut amounts in prop::collection::vec(0.0..1e6_f64, 0..50)) {
            let sum = |amounts: &[f64]| amounts.iter().map(|amount| Cost::new(*amount)).sum::<Cost>();
            let forwards = sum(&amounts);
            amounts.sort_by(f64::total_cmp);
            prop_assert_eq!(forwards, sum(&amounts));
        }

        #[test]
        fn json_numbers_come_back(parts in 0..10_u128.pow(15)) {
            let cost = Cost(parts);
            let json = serde_json::to_string(&cost).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cost>(&json).unwrap(), cost);
            prop_assert_eq!(cost.to_string().parse::<f64>().unwrap(), cost.as_f64());
        }
    }
}
