//! Finds the tags of a text: `{{ … }}` and `{% … %}`.

/// A tag with its content.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tag<'a> {
    /// The keyword of a statement, such as `if`; `None` for `{{ }}`.
    pub(super) word: Option<&'a str>,
    /// The text behind the keyword.
    pub(super) text: &'a str,
    pub(super) at: usize,
    /// The range of the whole tag, with its braces.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The tags of a text, in its order.
#[derive(Debug, Default)]
pub(super) struct TagScan<'a> {
    pub(super) tags: Vec<Tag<'a>>,
    /// The position of the first `{% raw %}`.
    pub(super) raw: Option<usize>,
    /// The position of a tag or comment that never ends. No tag is found behind it.
    pub(super) unclosed: Option<usize>,
}

/// The keywords that an expression follows. All others have none.
const WORDS: [&str; 7] = ["if", "elif", "for", "set", "with", "filter", "autoescape"];

/// Returns the tags of a text, without comments and raw text. An unclosed tag ends the list: the library reports it.
pub(super) fn tags(text: &str) -> Vec<Tag<'_>> {
    scan(text).tags
}

/// Returns the tags of a text, without comments and raw text.
pub(super) fn scan(text: &str) -> TagScan<'_> {
    let mut found = TagScan::default();
    let mut at = 0;
    let mut is_raw = false;
    while let Some(open) = text[at..].find('{').map(|open| at + open) {
        let inner = open + 2;
        let close = match text.as_bytes().get(open + 1) {
            Some(b'#') if !is_raw => text[inner..].find("#}"),
            Some(b'{') if !is_raw => tag_end(&text[inner..], "}}"),
            Some(b'%') => tag_end(&text[inner..], "%}"),
            _ => {
                at = open + 1;
                continue;
            }
        };
        let Some(close) = close else {
            found.unclosed = Some(open);
            break;
        };
        let content = &text[inner..inner + close];
        at = inner + close + 2;
        match text.as_bytes()[open + 1] {
            b'#' => {}
            b'{' => found.tags.push(Tag { word: None, text: content, at: inner, start: open, end: at }),
            _ => {
                let tag = Tag { start: open, end: at, ..statement(content, inner) };
                match tag.word {
                    Some("raw") => {
                        is_raw = true;
                        found.raw.get_or_insert(open);
                    }
                    Some("endraw") => is_raw = false,
                    _ if is_raw => {}
                    _ => found.tags.push(tag),
                }
            }
        }
    }
    found
}

fn statement(text: &str, at: usize) -> Tag<'_> {
    let begin = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let rest = &text[begin..];
    let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (word, rest) = rest.split_at(len);
    let rest = if WORDS.contains(&word) { rest } else { "" };
    Tag { word: Some(word), text: rest, at: at + begin + len, start: 0, end: 0 }
}

/// Returns the position where a tag ends: not in a string, and not at the end of a table.
fn tag_end(text: &str, close: &str) -> Option<usize> {
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
