//! Positions in a file that does not parse: the keys around a value. They are guessed from the text, because no parsed
//! structure exists.

use std::ops::Range;

/// A position in the text of a flow.
pub(super) struct Position<'a> {
    /// The keys around it, from the outside in.
    keys: Vec<&'a str>,
    /// The text of the value, up to the end of its line or the closing bracket around it.
    pub(super) value: &'a str,
    /// The range of bytes of the value.
    pub(super) at: Range<usize>,
}

impl<'a> Position<'a> {
    /// Finds the value at an offset.
    pub(super) fn of(text: &'a str, at: usize) -> Self {
        let at = if text.is_char_boundary(at.min(text.len())) { at.min(text.len()) } else { 0 };
        let start = at + text[at..].find(|c| c != ' ' && c != ':').unwrap_or(0);
        let end = start + end_of(&text[start..]);
        Position { keys: keys(text, start), value: text[start..end].trim_end(), at: start..end }
    }

    /// Moves to the value behind one of these keys, if the position is at such a key.
    pub(super) fn behind(self, text: &'a str, known: &[&str]) -> Self {
        let found = text.get(self.at.start..).and_then(key).filter(|(found, _)| known.contains(found));
        let Some((found, behind)) = found else { return self };
        let value = Position::of(text, self.at.start + behind);
        // A value that begins on the next line is shown by its key.
        let at = if value.value.is_empty() { self.at } else { value.at };
        let mut keys = self.keys;
        keys.push(found);
        Position { keys, value: value.value, at }
    }

    /// Returns the innermost key and the key around it; an empty text for each that does not exist.
    pub(super) fn under(&self) -> (&'a str, &'a str) {
        let inward = |level: usize| self.keys.iter().rev().nth(level).copied().unwrap_or_default();
        (inward(0), inward(1))
    }

    /// Returns whether the value is a list, a table or empty, and not a single word.
    pub(super) fn is_many(&self) -> bool {
        self.value.is_empty() || self.value.starts_with(['[', '{', '-']) || key(self.value).is_some()
    }
}

/// Returns the length of the value at the start of a text.
fn end_of(text: &str) -> usize {
    let (mut depth, mut quote) = (0, None);
    for (end, c) in text.char_indices() {
        match (quote, c) {
            (_, '\n') => return end,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}' | ',') if depth == 0 => return end,
            (None, ']' | '}') => depth -= 1,
            (None, '#') if text[..end].ends_with(' ') => return end,
            _ => {}
        }
    }
    text.len()
}

/// Returns the key at the start of a text, and the offset behind its colon.
fn key(text: &str) -> Option<(&str, usize)> {
    let length = text.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c)))?;
    let behind = text[length..].strip_prefix(':')?;
    (length > 0 && (behind.is_empty() || behind.starts_with([' ', '\n', '\r'])))
        .then_some((&text[..length], length + 1))
}

fn keys(text: &str, at: usize) -> Vec<&str> {
    // Each key with its column and the number of open brackets around it.
    let mut stack: Vec<((usize, usize), &str)> = Vec::new();
    let (mut depth, mut quote) = (0_usize, None);
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let mut fresh = true;
        for (offset, c) in line.char_indices() {
            if line_start + offset >= at {
                // Earlier keys at the same column are siblings.
                if fresh && depth == 0 {
                    stack.retain(|((_, column), _)| *column < offset);
                }
                return stack.into_iter().map(|(_, key)| key).collect();
            }
            match (quote, c) {
                (Some(open), _) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(c),
                (None, '#') if fresh || line[..offset].ends_with(' ') => break,
                (None, '[' | '{') => depth += 1,
                (None, ']' | '}') => {
                    depth = depth.saturating_sub(1);
                    stack.retain(|((within, _), _)| *within <= depth);
                }
                (None, _) if fresh || depth > 0 => {
                    let begins = fresh || line[..offset].ends_with(['{', '[', ' ', ',']);
                    if let Some((found, _)) = key(&line[offset..]).filter(|_| begins) {
                        let column = if depth > 0 { 0 } else { offset };
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
        line_start += line.len();
    }
    stack.into_iter().map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn position(text: &str, keys: &[&str], value: &str) {
        let at = text.find('^').unwrap();
        let text = text.replacen('^', "", 1);
        let position = Position::of(&text, at).behind(&text, &["each"]);
        assert_eq!((position.keys.as_slice(), position.value), (keys, value), "{text}");
    }

    #[test]
    fn keys_around_a_position_are_found_in_both_styles() {
        position("flow: f\ninputs: {b: x, a: ^string}\n", &["inputs", "a"], "string");
        position("inputs:\n  a: {}\n  b:^ str # a comment\n", &["inputs", "b"], "str");
        position("steps:\n  - id: a\n    tool: x\n    ^each: [1, 2]\n    do: {}\n", &["steps", "each"], "[1, 2]");
        position(
            "steps:\n  - id: a\n    agent: { prompt: \"a: {b\", answer: ^[a] }\n",
            &["steps", "agent", "answer"],
            "[a]",
        );
        position("steps:\n  - id: a\n    ^each:\n      - 1\n", &["steps", "each"], "");
        position("a: {b: 1}\nsteps:\n  ^a:\n    tool: x\n", &["steps"], "a:");
        position("^[{\"a\": 1}]", &[], "[{\"a\": 1}]");
        position("^", &[], "");
    }

    #[test]
    fn any_text_and_offset_are_accepted() {
        for text in ["ä: ö", "{[\"", "}}]]: x", "a: '\n b: \"\n", "\u{feff}a:"] {
            for at in 0..=text.len() + 1 {
                let _ = Position::of(text, at);
            }
        }
    }
}
