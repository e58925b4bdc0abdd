//! Whether JSON that comes in pieces has come to its end.

/// Follows an object or a list through its pieces; what is neither never ends.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    depth: usize,
    is_text: bool,
    is_escaped: bool,
    is_whole: bool,
}

impl Whole {
    pub(crate) fn of(text: &str) -> Self {
        let mut whole = Whole::default();
        whole.add(text);
        whole
    }

    pub(crate) fn add(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_text => self.is_escaped = true,
                b'"' => self.is_text = !self.is_text,
                _ if self.is_text => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_whole |= self.depth == 0;
                }
                _ => {}
            }
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole && self.depth == 0 && !self.is_text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_the_pieces_are_cut() {
        let text = r#" {"a": "}\\\"}", "b": [{}, []], "c": {"d": "]"}} "#;
        let end = text.rfind('}').unwrap();
        for cut in 0..=text.len() {
            let mut whole = Whole::of(&text[..cut]);
            assert_eq!(whole.is_whole(), cut > end, "{cut}");
            whole.add(&text[cut..]);
            assert!(whole.is_whole(), "{cut}");
        }
        for never in ["", " ", "1", "\"{}\"", "null", "{\"a\""] {
            assert!(!Whole::of(never).is_whole(), "{never}");
        }
    }
}
