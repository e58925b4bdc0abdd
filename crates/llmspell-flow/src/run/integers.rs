//! Integers that a number of 64 bits cannot hold: read as JSON they would silently become others.

/// The first integer in JSON that does not fit, and its place.
pub(crate) fn too_large(json: &[u8]) -> Option<(usize, &str)> {
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at = behind_text(json, at + 1),
            b'-' | b'0'..=b'9' => {
                let length = json[at..].iter().position(|byte| !b"+-.eE0123456789".contains(byte));
                let end = length.map_or(json.len(), |length| at + length);
                let number = &json[at..end];
                // 18 digits always fit.
                if number.len() > 18
                    && !number.iter().any(|byte| b".eE".contains(byte))
                    && let Ok(number) = std::str::from_utf8(number)
                    && number.parse::<i64>().is_err()
                    && number.parse::<u64>().is_err()
                {
                    return Some((at, number));
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

/// Behind the quote that closes a text.
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

/// What to do about one.
pub(crate) const HINT: &str = "write it in quotes: as a text it keeps all of its digits";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_integers_beyond_64_bits_are_found() {
        let wrong = |text: &str| too_large(text.as_bytes()).map(|(at, number)| (at, number.to_owned()));
        assert_eq!(wrong("{\"a\":18446744073709551616}"), Some((5, "18446744073709551616".to_owned())));
        assert_eq!(wrong("[-9223372036854775809]"), Some((1, "-9223372036854775809".to_owned())));
        for fine in [
            "18446744073709551615",
            "-9223372036854775808",
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
}
