//! Detection of complete JSON, for the arguments of tool calls.

/// The state of a partial JSON text, to detect whether its object or array has ended. Every byte is read
/// once, and none is kept.
#[derive(Debug, Default)]
pub(super) struct JsonCompletion {
    /// Objects and arrays that are open.
    depth: usize,
    in_string: bool,
    /// Whether the next byte of the string is escaped.
    is_escaped: bool,
    /// Whether one was open and has been closed.
    has_ended: bool,
}

impl JsonCompletion {
    pub(super) fn add(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.has_ended |= self.depth == 0;
                }
                _ => {}
            }
        }
    }

    /// Whether nothing can follow any more.
    pub(super) fn is_complete(&self) -> bool {
        self.has_ended && self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_complete(pieces: &[&str]) -> bool {
        let mut json_completion = JsonCompletion::default();
        pieces.iter().for_each(|piece| json_completion.add(piece));
        json_completion.is_complete()
    }

    #[test]
    fn braces_in_strings_end_nothing() {
        assert!(is_complete(&["{}"]) && is_complete(&[" [1, {\"a\": []}] "]));
        assert!(is_complete(&["{\"a\":\"\\", "\"}", "\\\\\"", "}"]));
        for open in ["", "{", "{\"a\":\"}", "{\"a\":\"\\\"}", "[{}", "{\"a\":{}"] {
            assert!(!is_complete(&[open]), "{open}");
        }
    }
}
