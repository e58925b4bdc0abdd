//! Evaluates the text of a formula by precedence climbing.

use std::collections::BTreeMap;

use llmspell::internal::suggest;
use llmspell::{Error, Result};
use serde_json::Number as Json;

use super::number::{Computed, Number, Undefined, finite};

/// The longest formula, in bytes.
const LONGEST: usize = 4 << 10;

/// The deepest nesting of parentheses, signs and powers. Each level takes stack.
const DEEPEST: u32 = 64;

const FUNCTIONS: [&str; 19] = [
    "abs", "sqrt", "exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "floor", "ceil", "trunc",
    "round", "min", "max", "sum",
];

const CONSTANTS: [(&str, f64); 2] = [("pi", std::f64::consts::PI), ("e", std::f64::consts::E)];

/// Evaluates a formula.
pub(super) fn compute(formula: &str, values: &BTreeMap<String, Json>) -> Result<Json> {
    if formula.len() > LONGEST {
        let error = Error::invalid(format!("the formula is longer than {LONGEST} bytes"));
        return Err(error.with_hint("compute it in several steps"));
    }
    if let Some(name) = values.keys().find(|name| CONSTANTS.iter().any(|(known, _)| known == name)) {
        return Err(Error::invalid(format!("`{name}` is already defined")).with_hint("rename the value"));
    }
    let mut reader = Reader { text: formula, at: 0, depth: 0, values };
    let value = reader.sum()?;
    match reader.peek() {
        None => reader.checked(reader.at, value.json().ok_or(Undefined::NoValue)),
        Some(found) => Err(reader.unexpected(found)),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// The position of the next byte.
    at: usize,
    depth: u32,
    values: &'a BTreeMap<String, Json>,
}

impl Reader<'_> {
    fn sum(&mut self) -> Result<Number> {
        self.chain("+-", Self::product)
    }

    fn product(&mut self) -> Result<Number> {
        self.chain("*/%", Self::signed)
    }

    /// Parses operators of one precedence level, left-associative.
    fn chain(&mut self, operators: &str, operand: fn(&mut Self) -> Result<Number>) -> Result<Number> {
        let mut value = operand(self)?;
        while let Some(operator) = self.peek().filter(|found| operators.contains(*found)) {
            let at = self.at;
            self.at += 1;
            let other = operand(self)?;
            let computed = match operator {
                '+' => value.add(other),
                '-' => value.subtract(other),
                '*' => value.multiply(other),
                '/' => value.divide(other),
                _ => value.remainder(other),
            };
            value = self.checked(at, computed)?;
        }
        Ok(value)
    }

    fn signed(&mut self) -> Result<Number> {
        let Some(sign @ ('-' | '+')) = self.peek() else { return self.power() };
        let at = self.at;
        self.at += 1;
        // The smallest integer has no positive counterpart, so its sign is parsed with it.
        let rest = self.text[self.at..].trim_start();
        if sign == '-'
            && rest.starts_with("9223372036854775808")
            && !rest[19..].starts_with(|c: char| "0123456789.eE".contains(c))
        {
            self.at = self.text.len() - rest.len() + 19;
            if self.peek() != Some('^') {
                return Ok(Number::Integer(i64::MIN));
            }
            return self.checked(at, Err(Undefined::TooLarge));
        }
        let value = self.nested(Self::signed)?;
        if sign == '-' { self.checked(at, value.negate()) } else { Ok(value) }
    }

    fn power(&mut self) -> Result<Number> {
        let base = self.primary()?;
        if self.peek() != Some('^') {
            return Ok(base);
        }
        let at = self.at;
        self.at += 1;
        let exponent = self.nested(Self::signed)?;
        self.checked(at, base.power(exponent))
    }

    fn primary(&mut self) -> Result<Number> {
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let value = self.nested(Self::sum)?;
                self.expect(')')?;
                Ok(value)
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_alphabetic() || c == '_' => self.name(),
            Some(found) => Err(self.unexpected(found)),
            None => Err(self.early()),
        }
    }

    fn number(&mut self) -> Result<Number> {
        let (start, rest) = (self.at, &self.text[self.at..]);
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut end = digits(rest);
        let mut whole = true;
        if rest[end..].starts_with('.') {
            whole = false;
            end += 1 + digits(&rest[end + 1..]);
        }
        let exponent = rest[end..].strip_prefix(['e', 'E']);
        if let Some(exponent) = exponent {
            let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits(unsigned) > 0 {
                whole = false;
                end += 1 + exponent.len() - unsigned.len() + digits(unsigned);
            }
        }
        let text = &rest[..end];
        self.at += end;
        let computed = if whole {
            text.parse().map(Number::Integer).map_err(|_| Undefined::TooLarge)
        } else {
            match text.parse::<f64>() {
                Ok(number) => finite(number),
                Err(_) => {
                    self.at = start;
                    return Err(self.unexpected('.'));
                }
            }
        };
        // `2x` is not a product, and `1..2` is not a number.
        if let Some(next) = self.text[self.at..].chars().next().filter(|c| c.is_alphanumeric() || "._".contains(*c)) {
            return Err(self.unexpected(next));
        }
        self.checked(start, computed)
    }

    fn name(&mut self) -> Result<Number> {
        let start = self.at;
        let rest = &self.text[start..];
        let name = &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())];
        self.at += name.len();
        if self.peek() == Some('(') {
            self.at += 1;
            let values = self.nested(Self::arguments)?;
            return self.function(start, name, &values);
        }
        if let Some((_, value)) = CONSTANTS.iter().find(|(known, _)| *known == name) {
            return Ok(Number::Real(*value));
        }
        let Some(value) = self.values.get(name) else {
            let known = self.values.keys().map(String::as_str).chain(CONSTANTS.iter().map(|(known, _)| *known));
            let error = Error::invalid(format!("`{name}`, at {}, has no value", self.place(start)));
            return Err(error.with_hint(suggest::hint(name, known, "give it one under `values`; known are")));
        };
        let value = match (value.as_i64(), value.as_f64()) {
            (Some(whole), _) => Ok(Number::Integer(whole)),
            (None, Some(real)) if !value.is_u64() => finite(real),
            _ => Err(Undefined::TooLarge),
        };
        self.checked(start, value)
    }

    fn arguments(&mut self) -> Result<Vec<Number>> {
        let mut values = Vec::new();
        if self.peek() != Some(')') {
            values.push(self.sum()?);
            while self.peek() == Some(',') {
                self.at += 1;
                values.push(self.sum()?);
            }
        }
        self.expect(')')?;
        Ok(values)
    }

    fn function(&self, at: usize, name: &str, values: &[Number]) -> Result<Number> {
        let wrong = |what: &str| Error::invalid(format!("`{name}`, at {}, {what}", self.place(at)));
        if !FUNCTIONS.contains(&name) {
            let hint = suggest::hint(name, FUNCTIONS.iter().copied(), "the functions are");
            return Err(wrong("is not a function").with_hint(hint));
        }
        let all = |of: fn(Number, Number) -> Computed| -> Result<Number> {
            let (first, rest) = values.split_first().ok_or_else(|| wrong("takes at least one value"))?;
            self.checked(at, rest.iter().try_fold(*first, |so_far, value| of(so_far, *value)))
        };
        match name {
            "min" => return all(|a, b| Ok(if b.real() < a.real() { b } else { a })),
            "max" => return all(|a, b| Ok(if b.real() > a.real() { b } else { a })),
            "sum" => return all(Number::add),
            "round" => {
                let digits = match values {
                    [_] => 0,
                    [_, Number::Integer(digits @ -300..=300)] => i32::try_from(*digits).unwrap_or(0),
                    [_, _] => return Err(wrong("takes a whole number of digits from -300 to 300")),
                    _ => return Err(wrong("takes one value, or a value and a number of digits")),
                };
                let rounded = values[0].rounded(digits);
                return self.checked(at, rounded);
            }
            _ => {}
        }
        let [value] = values else { return Err(wrong("takes one value")) };
        let real = value.real();
        let computed = match name {
            "abs" if real < 0.0 => value.negate(),
            "abs" => Ok(*value),
            "floor" => value.whole(f64::floor),
            "ceil" => value.whole(f64::ceil),
            "trunc" => value.whole(f64::trunc),
            "sqrt" => finite(real.sqrt()),
            "exp" => finite(real.exp()),
            "ln" | "log2" | "log10" if real <= 0.0 => Err(Undefined::NoValue),
            "ln" => finite(real.ln()),
            "log2" => finite(real.log2()),
            "log10" => finite(real.log10()),
            "sin" => finite(real.sin()),
            "cos" => finite(real.cos()),
            "tan" => finite(real.tan()),
            "asin" => finite(real.asin()),
            "acos" => finite(real.acos()),
            _ => finite(real.atan()),
        };
        self.checked(at, computed)
    }

    fn nested<T>(&mut self, read: fn(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let error = Error::invalid(format!("the formula is nested more than {DEEPEST} levels deep"));
            return Err(error.with_hint("compute it in several steps"));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// Returns the next character after white space, which is skipped.
    fn peek(&mut self) -> Option<char> {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest.chars().next()
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        match self.peek() {
            Some(found) if found == wanted => {
                self.at += 1;
                Ok(())
            }
            Some(found) => Err(self.unexpected(found)),
            None => Err(self.early()),
        }
    }

    fn place(&self, at: usize) -> String {
        format!("character {}", self.text[..at].chars().count() + 1)
    }

    fn unexpected(&self, found: char) -> Error {
        let error = Error::invalid(format!("`{}` is unexpected at {}", found.escape_debug(), self.place(self.at)));
        error.with_hint("write formulas as `(1 + x) ^ 2 / 3`; write every `*`")
    }

    fn early(&self) -> Error {
        Error::invalid("unexpected end of the formula").with_hint("add the missing number or `)` at the end")
    }

    fn checked<T>(&self, at: usize, computed: std::result::Result<T, Undefined>) -> Result<T> {
        computed.map_err(|undefined| {
            let place = self.place(at);
            match undefined {
                Undefined::ByZero => Error::invalid(format!("division by zero at {place}")),
                Undefined::NoValue => Error::invalid(format!("undefined result at {place}")),
                Undefined::TooLarge => Error::invalid(format!("number out of range at {place}")).with_hint(
                    "integers go up to 9223372036854775807; numbers with a point, such as 1.0, up to about 1e308",
                ),
            }
        })
    }
}
