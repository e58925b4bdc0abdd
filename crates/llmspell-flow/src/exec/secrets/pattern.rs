//! The forms in which programs and servers repeat a secret that they were sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use regex::{Regex, RegexBuilder};

/// The shortest secret to redact: shorter ones occur in any text by chance.
pub(super) const MIN_SECRET_LEN: usize = 4;

/// The fewest bytes of a secret at the end of a truncated text that count as the secret.
const MIN_CUT_LEN: usize = 4;

/// A base64 digit of either alphabet, perhaps percent-encoded; and the padding of the last group.
const DIGIT: &str = "(?:[A-Za-z0-9+/_-]|%(?:25){0,2}2[BbFf])";
const FILLER: &str = "(?:=|%(?:25){0,2}3[Dd])";

/// A pattern for all the forms of one secret.
pub(super) struct SecretPattern {
    pattern: Regex,
    /// The forms without variants, which can be recognised by their beginnings.
    plain: Vec<String>,
}

impl SecretPattern {
    /// Returns the pattern; `None` if the secret is too short to be distinguished from other text.
    pub(super) fn new(secret: &str) -> Option<Self> {
        // White space at the ends does not survive headers and shells.
        let secret = secret.trim();
        if secret.len() < MIN_SECRET_LEN {
            return None;
        }
        let encoded: Vec<Base64> = (0..3).filter_map(|before| Base64::new(secret, before)).collect();
        let mut ways = vec![secret.chars().map(escaped).collect::<String>()];
        ways.extend(encoded.iter().map(Base64::pattern));
        // The pattern consists of single characters, so that only memory bounds it. The limits of the builder are
        // meant for patterns from outside.
        let pattern = RegexBuilder::new(&ways.join("|")).size_limit(usize::MAX).build().ok()?;
        let plain = std::iter::once(secret.to_owned()).chain(encoded.into_iter().map(|base64| base64.digits)).collect();
        Some(SecretPattern { pattern, plain })
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        self.pattern.is_match(text)
    }

    pub(super) fn masked(&self, text: &str, mask: &str) -> String {
        self.pattern.replace_all(text, regex::NoExpand(mask)).into_owned()
    }

    /// Returns the position where a beginning of the secret stands at the end of a truncated text.
    pub(super) fn cut_at(&self, text: &str) -> Option<usize> {
        let beginning = |way: &String| {
            let lengths = (MIN_CUT_LEN..way.len()).rev().filter(|length| way.is_char_boundary(*length));
            lengths.map(|length| &way[..length]).find(|part| text.ends_with(part)).map(|part| text.len() - part.len())
        };
        // The text may end in a mark of truncation, which the caller has removed.
        self.plain.iter().filter_map(beginning).min()
    }
}

/// Returns a pattern for a character as it is, and as JSON, URLs, HTML and shells escape it, also if they escape it
/// twice. All of them leave letters and digits as they are.
fn escaped(character: char) -> String {
    if character.is_ascii_alphanumeric() {
        return character.to_string();
    }
    let mut utf8 = [0; 4];
    let percent: String =
        character.encode_utf8(&mut utf8).bytes().map(|byte| format!("%(?:25){{0,2}}(?i:{byte:02x})")).collect();
    let mut utf16 = [0; 2];
    let units: String =
        character.encode_utf16(&mut utf16).iter().map(|unit| format!(r"\\{{1,7}}u(?i:{unit:04x})")).collect();
    let number = u32::from(character);
    let mut ways = vec![
        format!(r"\\{{0,7}}{}", regex::escape(&character.to_string())),
        percent,
        units,
        format!(r"\\{{1,7}}u\{{(?i:{number:x})\}}"),
        format!("&#0?{number};"),
        format!("&#(?i:x0?{number:x});"),
    ];
    let named = match character {
        ' ' => Some(r"\+"),
        '\n' => Some(r"\\{1,7}n"),
        '\r' => Some(r"\\{1,7}r"),
        '\t' => Some(r"\\{1,7}t"),
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&apos;"),
        _ => None,
    };
    ways.extend(named.map(str::to_owned));
    format!("(?:{})", ways.join("|"))
}

/// A secret within base64, such as the `user:secret` of Basic auth. Three bytes are four digits, so its form depends
/// on the number of bytes before it. Its first and last digits may share bits with their neighbours.
struct Base64 {
    /// The digits that depend on the secret alone.
    digits: String,
    /// Whether one more digit has the last bits of the secret. The few bits in the digit before the first reveal
    /// nothing, and a pattern that does not begin with literal characters is slow to search.
    ends_mixed: bool,
}

impl Base64 {
    /// Encodes the secret with `before` bytes before it, counted from the last whole group of three.
    fn new(secret: &str, before: usize) -> Option<Self> {
        let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(secret.bytes()).collect();
        let digits = STANDARD_NO_PAD.encode(&bytes);
        let last_is_mixed = !bytes.len().is_multiple_of(3);
        let first = [0, 2, 3][before];
        let end = digits.len() - usize::from(last_is_mixed);
        let digits = digits.get(first..end).filter(|digits| digits.len() >= MIN_SECRET_LEN)?.to_owned();
        Some(Base64 { digits, ends_mixed: last_is_mixed })
    }

    fn pattern(&self) -> String {
        let digit = |digit: char| match digit {
            '+' => r"(?:[+-]|%(?:25){0,2}2[Bb])".to_owned(),
            '/' => r"(?:\\{0,7}/|_|%(?:25){0,2}2[Ff])".to_owned(),
            digit => digit.to_string(),
        };
        let digits: String = self.digits.chars().map(digit).collect();
        let last = if self.ends_mixed { format!("{DIGIT}?") } else { String::new() };
        format!("{digits}{last}{FILLER}{{0,2}}")
    }
}
