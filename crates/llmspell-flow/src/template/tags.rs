//! Finds the tags of a text: `{{ … }}` and `{% … %}`.

/// A tag with its content.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tag<'a> {
    /// The keyword of a statement, such as `if`; `None` for `{{ }}`.
    pub(super) word: Option<&'a str>,
    /// The text behind the keyword.
    pub(super) text: &'a str,
    pub(super) at: usize,
}

/// The keywords that an expression follows. All others have none.
const WORDS: [&str; 7] = ["if", "elif", "for", "set", "with", "filter", "autoescape"];

/// Returns the tags in the order of the text, without comments and raw text. An unclosed tag ends the list: the
/// library reports it.
pub(super) fn tags(text: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut at = 0;
    let mut raw = false;
    while let Some(open) = text[at..].find('{').map(|open| at + open) {
        let mark = text.as_bytes().get(open + 1);
        let inner = open + 2;
        at = match mark {
            Some(b'#') if !raw => match text[inner..].find("#}") {
                Some(end) => inner + end + 2,
                None => break,
            },
            Some(b'{') if !raw => {
                let Some(end) = end(&text[inner..], "}}") else { break };
                tags.push(Tag { word: None, text: &text[inner..inner + end], at: inner });
                inner + end + 2
            }
            Some(b'%') => {
                let Some(end) = end(&text[inner..], "%}") else { break };
                let tag = statement(&text[inner..inner + end], inner);
                match tag.word {
                    Some("raw") => raw = true,
                    Some("endraw") => raw = false,
                    _ if raw => {}
                    _ => tags.push(tag),
                }
                inner + end + 2
            }
            _ => open + 1,
        };
    }
    tags
}

fn statement(text: &str, at: usize) -> Tag<'_> {
    let begin = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let rest = &text[begin..];
    let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (word, rest) = rest.split_at(len);
    let rest = if WORDS.contains(&word) { rest } else { "" };
    Tag { word: Some(word), text: rest, at: at + begin + len }
}

/// Returns the position where a tag ends: not in a string, and not at the end of a table.
fn end(text: &str, close: &str) -> Option<usize> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0usize);
    for (place, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, _) if text[place..].starts_with(close) => return Some(place),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Option<&str>, &str)> {
        tags(text).iter().map(|tag| (tag.word, tag.text.trim())).collect()
    }

    #[test]
    fn tags_are_found_except_in_raw_text() {
        assert_eq!(found("a {{ b }} {# {{ c }} #} {d}"), [(None, "b")]);
        assert_eq!(
            found("{%- for x in y -%}{{ '}}' }}{% endfor %}"),
            [(Some("for"), "x in y -"), (None, "'}}'"), (Some("endfor"), "")]
        );
        assert_eq!(found("{% raw %}{{ a }}{% if b %}{% endraw %}{{ {'c': {}} }}"), [(None, "{'c': {}}")]);
        assert_eq!(found("{{ a"), []);
        let text = "é{% if x|nope %}";
        let tag = tags(text)[0];
        assert_eq!(&text[tag.at..tag.at + tag.text.len()], " x|nope ");
    }
}
