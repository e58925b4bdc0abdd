//! Numbers, durations and paragraphs as text.

use std::borrow::Cow;
use std::time::Duration;

/// Quotes a word for a shell, if it must be quoted.
pub(crate) fn shell_word(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', "'\\''")))
}

/// Breaks a text into lines of at most `width` characters, all but the first indented.
pub(crate) fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// Formats a number with its thousands apart: `3,115`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a number of things: `1 record`, `3,115 records`.
pub(crate) fn count_of(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Formats a rate: `612/s`, `2.5/s`.
pub(crate) fn per_second(rate: f64) -> String {
    if rate >= 9.95 { format!("{}/s", count(rate.round() as u64)) } else { format!("{rate:.1}/s") }
}

/// Formats a measured duration: `85 µs`, `1.2 ms`, `3.4 s`, `12 min 5 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let digits = |number: f64| if number < 9.95 { format!("{number:.1}") } else { format!("{number:.0}") };
    match seconds {
        _ if time.is_zero() => "0".to_owned(),
        _ if seconds < 0.995e-3 => format!("{} µs", digits(seconds * 1e6)),
        _ if seconds < 0.995 => format!("{} ms", digits(seconds * 1e3)),
        _ if seconds < 119.5 => format!("{} s", digits(seconds)),
        _ => rough_duration(time),
    }
}

/// Formats an estimated duration: `40 s`, `12 min`, `3 h 20 min`.
pub(crate) fn rough_duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=599 => format!("{} min {} s", seconds / 60, seconds % 60),
        600..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_special_characters_are_quoted_for_the_shell() {
        for plain in ["in.jsonl", "net=a.org:80", "a,b/../c@1%2"] {
            assert_eq!(shell_word(plain), plain);
        }
        assert_eq!(["", "my file", "it's", "$x"].map(shell_word), ["''", "'my file'", "'it'\\''s'", "'$x'"]);
    }

    #[test]
    fn durations_have_about_two_digits() {
        let shown = |ms: f64| duration(Duration::from_secs_f64(ms / 1e3));
        assert_eq!([0.0, 0.085, 0.9999, 1.23, 999.9].map(shown), ["0", "85 µs", "1.0 ms", "1.2 ms", "1.0 s"]);
        assert_eq!([3_400.0, 119_400.0, 125_000.0].map(shown), ["3.4 s", "119 s", "2 min 5 s"]);
        assert_eq!([1_000_000.0, 12_000_000.0].map(shown), ["16 min", "3 h 20 min"]);
    }

    #[test]
    fn numbers_and_paragraphs_are_formatted() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(3_115), "3,115");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count_of(1, "record"), "1 record");
        assert_eq!(wrap("one two three", 7, 2), "one two\n  three");
    }
}
