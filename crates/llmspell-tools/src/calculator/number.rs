//! Numbers that detect overflow instead of losing precision.

use serde_json::Number as Json;

/// An exact integer, or a 64-bit float.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Integer(i64),
    Real(f64),
}

use Number::{Integer, Real};

/// The reason why a result is undefined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Undefined {
    ByZero,
    TooLarge,
    NoValue,
}

pub(super) type Computed = Result<Number, Undefined>;

impl Number {
    pub(super) fn real(self) -> f64 {
        match self {
            Integer(number) => number as f64,
            Real(number) => number,
        }
    }

    pub(super) fn add(self, other: Self) -> Computed {
        self.with(other, i64::checked_add, |a, b| a + b)
    }

    pub(super) fn subtract(self, other: Self) -> Computed {
        self.with(other, i64::checked_sub, |a, b| a - b)
    }

    pub(super) fn multiply(self, other: Self) -> Computed {
        self.with(other, i64::checked_mul, |a, b| a * b)
    }

    pub(super) fn divide(self, other: Self) -> Computed {
        match (self, other) {
            (_, divisor) if divisor.real() == 0.0 => Err(Undefined::ByZero),
            (Integer(a), Integer(b)) if a.checked_rem(b) == Some(0) => Ok(Integer(a / b)),
            // The smallest integer divided by -1 overflows.
            (Integer(_), Integer(-1)) => Err(Undefined::TooLarge),
            (a, b) => finite(a.real() / b.real()),
        }
    }

    pub(super) fn remainder(self, other: Self) -> Computed {
        match (self, other) {
            (_, divisor) if divisor.real() == 0.0 => Err(Undefined::ByZero),
            (Integer(a), Integer(b)) => Ok(Integer(a.wrapping_rem(b))),
            (a, b) => finite(a.real() % b.real()),
        }
    }

    pub(super) fn power(self, other: Self) -> Computed {
        match (self, other) {
            (base, exponent) if base.real() == 0.0 && exponent.real() < 0.0 => Err(Undefined::ByZero),
            // Powers of 0, 1 and -1 stay small for any exponent.
            (Integer(base @ -1..=1), Integer(exponent)) if exponent >= 0 => Ok(Integer(if exponent == 0 {
                1
            } else if exponent % 2 == 0 {
                base * base
            } else {
                base
            })),
            (Integer(base), Integer(exponent)) if exponent >= 0 => {
                let exponent = u32::try_from(exponent).map_err(|_| Undefined::TooLarge)?;
                base.checked_pow(exponent).map(Integer).ok_or(Undefined::TooLarge)
            }
            (base, exponent) => finite(base.real().powf(exponent.real())),
        }
    }

    pub(super) fn negate(self) -> Computed {
        match self {
            Integer(number) => number.checked_neg().map(Integer).ok_or(Undefined::TooLarge),
            Real(number) => Ok(Real(-number)),
        }
    }

    /// Converts to an integer by a rounding function. A number too large for an integer stays a float.
    pub(super) fn whole(self, by: impl FnOnce(f64) -> f64) -> Computed {
        let Real(number) = self else { return Ok(self) };
        let number = by(number);
        // 2^63, the first number that does not fit.
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
        Ok(if fits { Integer(number as i64) } else { Real(number) })
    }

    /// Rounds to this many digits after the decimal point, halves away from zero. Negative digits round before the
    /// point.
    pub(super) fn rounded(self, digits: i32) -> Computed {
        match self {
            Integer(_) if digits >= 0 => Ok(self),
            Integer(number) => {
                let Some(unit) = 10_i128.checked_pow(digits.unsigned_abs()) else { return Ok(Integer(0)) };
                let number = i128::from(number);
                let rounded = (number + number.signum() * unit / 2) / unit * unit;
                i64::try_from(rounded).map(Integer).map_err(|_| Undefined::TooLarge)
            }
            // By the decimal digits: in binary, 2.345 times 100 is not 234.5.
            Real(number) if digits > 0 => finite(decimal(number, digits.unsigned_abs() as usize)),
            Real(_) => self.whole(f64::round)?.rounded(digits),
        }
    }

    pub(super) fn json(self) -> Option<Json> {
        match self {
            Integer(number) => Some(number.into()),
            Real(number) => Json::from_f64(number),
        }
    }

    fn with(self, other: Self, whole: fn(i64, i64) -> Option<i64>, real: fn(f64, f64) -> f64) -> Computed {
        match (self, other) {
            (Integer(a), Integer(b)) => whole(a, b).map(Integer).ok_or(Undefined::TooLarge),
            (a, b) => finite(real(a.real(), b.real())),
        }
    }
}

/// Returns the number if it is finite.
pub(super) fn finite(number: f64) -> Computed {
    match number {
        number if number.is_nan() => Err(Undefined::NoValue),
        number if number.is_infinite() => Err(Undefined::TooLarge),
        number => Ok(Real(number)),
    }
}

/// Rounds the shortest decimal representation of a number, halves away from zero.
fn decimal(number: f64, digits: usize) -> f64 {
    let text = format!("{}", number.abs());
    let Some((whole, fraction)) = text.split_once('.').filter(|(_, fraction)| fraction.len() > digits) else {
        return number;
    };
    let up = fraction.as_bytes()[digits] >= b'5';
    let mut kept: Vec<u8> = [whole.as_bytes(), &fraction.as_bytes()[..digits]].concat();
    let mut carry = up;
    for digit in kept.iter_mut().rev().take_while(|_| carry).collect::<Vec<_>>() {
        (*digit, carry) = if *digit == b'9' && carry {
            (b'0', true)
        } else if carry {
            (*digit + 1, false)
        } else {
            (*digit, false)
        };
    }
    if carry {
        kept.insert(0, b'1');
    }
    let point = kept.len() - digits;
    let text: String = kept
        .iter()
        .enumerate()
        .flat_map(|(place, digit)| {
            let point = (place == point).then_some('.');
            point.into_iter().chain([char::from(*digit)])
        })
        .collect();
    text.parse::<f64>().map_or(number, |rounded| rounded.copysign(number))
}
