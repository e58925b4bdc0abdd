//! Integers that do not fit into 64 bits: a JSON parser would silently change them.

/// Finds the first integer in JSON that parsing would change, and its position. In an object, only the `wanted` fields
/// are searched, because the others are never used.
pub fn find_lossy(json: &[u8], wanted: impl Fn(&str) -> bool) -> Option<(usize, &str)> {
    // The current field of the outermost object: its name was the last text at that depth.
    let (mut at, mut depth, mut field) = (0, 0_usize, None);
    while at < json.len() {
        match json[at] {
            b'"' => {
                let end = behind_text(json, at + 1);
                if depth == 1 {
                    field = json.get(at..end);
                }
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let length = json[at..].iter().position(|byte| !b"+-.eE0123456789".contains(byte));
                let end = length.map_or(json.len(), |length| at + length);
                let is_wanted = || {
                    let name = field.and_then(|field| serde_json::from_slice::<String>(field).ok());
                    name.is_none_or(|name| wanted(&name))
                };
                if let Some(number) = lossy(&json[at..end])
                    && is_wanted()
                {
                    return Some((at, number));
                }
                at = end;
            }
            byte => {
                match byte {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                at += 1;
            }
        }
    }
    None
}

/// Returns the number if it is an integer whose digits change when it is parsed. Programs also write floats without an
/// exponent: `100000000000000000000` is 1e20, which a float holds exactly.
fn lossy(number: &[u8]) -> Option<&str> {
    // 18 digits always fit.
    if number.len() <= 18 || number.iter().any(|byte| b".eE".contains(byte)) {
        return None;
    }
    let number = std::str::from_utf8(number).ok()?;
    let comes_back = || number.parse::<f64>().is_ok_and(|float| float.to_string() == number);
    let fits = number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() || comes_back();
    (!fits).then_some(number)
}

/// Returns the offset behind the closing quote of a text.
fn behind_text(json: &[u8], mut at: usize) -> usize {
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// The hint for such a number.
pub const HINT: &str = "write it in quotes: as a text it keeps all of its digits";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_integers_that_would_lose_digits_are_found() {
        let wrong = |text: &str| find_lossy(text.as_bytes(), |_| true).map(|(at, number)| (at, number.to_owned()));
        assert_eq!(wrong("{\"a\":18446744073709551616}"), Some((5, "18446744073709551616".to_owned())));
        assert_eq!(wrong("[-9223372036854775809]"), Some((1, "-9223372036854775809".to_owned())));
        for fine in [
            "18446744073709551615",
            "-9223372036854775808",
            "100000000000000000000",
            "{\"n\":-123456789012345680000}",
            "1e300",
            "12345678901234567890123.5",
            "{\"99999999999999999999\": \"a\\\"99999999999999999999\"}",
            "\"99999999999999999999",
            "\"\\",
            "",
        ] {
            assert_eq!(wrong(fine), None, "{fine}");
        }
    }

    #[test]
    fn unwanted_fields_are_not_searched() {
        let wrong = |text: &str| find_lossy(text.as_bytes(), |field| field == "a\"b").is_some();
        assert!(!wrong(r#"{"hash": 99999999999999999999, "x": {"a\"b": [99999999999999999999]}, "a\"b": "x"}"#));
        assert!(wrong(r#"{"hash": 1, "a\"b": 99999999999999999999}"#));
        assert!(wrong(r#"{"x": ["a"], "a\"b": {"hash": [{"x": 1}, 99999999999999999999]}}"#));
    }
}
