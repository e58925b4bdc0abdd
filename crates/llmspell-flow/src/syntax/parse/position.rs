//! Where in a file that cannot be read something stands: under which keys. By the look of the text, for nothing else
//! is known of it.

use std::ops::Range;

/// A place in the text of a flow.
pub(super) struct Spot<'a> {
    /// The keys around it, from the outside in.
    keys: Vec<&'a str>,
    /// What stands there, up to the end of its line or the bracket that closes what is around it.
    pub(super) value: &'a str,
    /// Where that is.
    pub(super) at: Range<usize>,
}

impl<'a> Spot<'a> {
    /// Of a place at a value.
    pub(super) fn of(text: &'a str, at: usize) -> Self {
        let at = if text.is_char_boundary(at.min(text.len())) { at.min(text.len()) } else { 0 };
        let start = at + text[at..].find(|c| c != ' ' && c != ':').unwrap_or(0);
        let end = start + end_of(&text[start..]);
        Spot { keys: keys(text, start), value: text[start..end].trim_end(), at: start..end }
    }

    /// The value, if this is the place of one of these keys.
    pub(super) fn behind(self, text: &'a str, known: &[&str]) -> Self {
        let found = text.get(self.at.start..).and_then(key).filter(|(found, _)| known.contains(found));
        let Some((found, behind)) = found else { return self };
        let value = Spot::of(text, self.at.start + behind);
        // A value that begins on the next line is shown by its key.
        let at = if value.value.is_empty() { self.at } else { value.at };
        let mut keys = self.keys;
        keys.push(found);
        Spot { keys, value: value.value, at }
    }

    /// The innermost key, and the one around it; empty where there is none.
    pub(super) fn under(&self) -> (&'a str, &'a str) {
        let inward = |place: usize| self.keys.iter().rev().nth(place).copied().unwrap_or_default();
        (inward(0), inward(1))
    }

    /// Whether a list, a table or nothing at all stands there, and not a single word.
    pub(super) fn is_many(&self) -> bool {
        self.value.is_empty() || self.value.starts_with(['[', '{', '-']) || key(self.value).is_some()
    }
}

/// Where a value ends that begins here.
fn end_of(text: &str) -> usize {
    let (mut depth, mut quote) = (0, None);
    for (place, c) in text.char_indices() {
        match (quote, c) {
            (_, '\n') => return place,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}' | ',') if depth == 0 => return place,
            (None, ']' | '}') => depth -= 1,
            (None, '#') if text[..place].ends_with(' ') => return place,
            _ => {}
        }
    }
    text.len()
}

/// The key that stands at the beginning of a text, and where its value may begin.
fn key(text: &str) -> Option<(&str, usize)> {
    let length = text.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c)))?;
    let behind = text[length..].strip_prefix(':')?;
    (length > 0 && (behind.is_empty() || behind.starts_with([' ', '\n', '\r'])))
        .then_some((&text[..length], length + 1))
}

fn keys(text: &str, at: usize) -> Vec<&str> {
    // Each with its column; inside of brackets, with how many are open besides.
    let mut stack: Vec<((usize, usize), &str)> = Vec::new();
    let (mut depth, mut quote) = (0_usize, None);
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let mut fresh = true;
        for (place, c) in line.char_indices() {
            if offset + place >= at {
                // Keys before it at its own column are beside it.
                if fresh && depth == 0 {
                    stack.retain(|((_, column), _)| *column < place);
                }
                return stack.into_iter().map(|(_, key)| key).collect();
            }
            match (quote, c) {
                (Some(open), _) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(c),
                (None, '#') if fresh || line[..place].ends_with(' ') => break,
                (None, '[' | '{') => depth += 1,
                (None, ']' | '}') => {
                    depth = depth.saturating_sub(1);
                    stack.retain(|((within, _), _)| *within <= depth);
                }
                (None, _) if fresh || depth > 0 => {
                    let begins = fresh || line[..place].ends_with(['{', '[', ' ', ',']);
                    if let Some((found, _)) = key(&line[place..]).filter(|_| begins) {
                        let column = if depth > 0 { 0 } else { place };
                        stack.retain(|(older, _)| *older < (depth, column));
                        stack.push(((depth, column), found));
                    }
                }
                _ => {}
            }
            fresh = fresh && (c == ' ' || c == '-');
        }
        if depth == 0 {
            quote = None;
        }
        offset += line.len();
    }
    stack.into_iter().map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn spot(text: &str, keys: &[&str], value: &str) {
        let at = text.find('^').unwrap();
        let text = text.replacen('^', "", 1);
        let spot = Spot::of(&text, at).behind(&text, &["each"]);
        assert_eq!((spot.keys.as_slice(), spot.value), (keys, value), "{text}");
    }

    #[test]
    fn keys_around_a_place_are_found_in_both_styles() {
        spot("flow: f\ninputs: {b: x, a: ^string}\n", &["inputs", "a"], "string");
        spot("inputs:\n  a: {}\n  b:^ str # a comment\n", &["inputs", "b"], "str");
        spot("steps:\n  - id: a\n    tool: x\n    ^each: [1, 2]\n    do: {}\n", &["steps", "each"], "[1, 2]");
        spot(
            "steps:\n  - id: a\n    agent: { prompt: \"a: {b\", answer: ^[a] }\n",
            &["steps", "agent", "answer"],
            "[a]",
        );
        spot("steps:\n  - id: a\n    ^each:\n      - 1\n", &["steps", "each"], "");
        spot("a: {b: 1}\nsteps:\n  ^a:\n    tool: x\n", &["steps"], "a:");
        spot("^[{\"a\": 1}]", &[], "[{\"a\": 1}]");
        spot("^", &[], "");
    }

    #[test]
    fn no_template_panics() {
        for text in ["ä: ö", "{[\"", "}}]]: x", "a: '\n b: \"\n", "\u{feff}a:"] {
            for at in 0..=text.len() + 1 {
                let _ = Spot::of(text, at);
            }
        }
    }
}
