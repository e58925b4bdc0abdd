//! Splits a text into plain text and expressions.

/// A segment of a text.
#[derive(Debug, PartialEq)]
pub(super) enum RawSegment<'a> {
    Text(&'a str),
    /// The expression between `${{` and `}}`.
    Expression(&'a str),
}

/// The reason for which a text is not a template.
#[derive(Debug)]
pub(super) struct ScanError<'a> {
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
    /// The part of the text with the problem.
    pub(super) near: &'a str,
}

/// The opening mark of an expression.
pub(super) const OPEN: &str = "${{";

/// Splits a text into segments to copy and segments to compute.
pub(super) fn scan(mut text: &str) -> Result<Vec<RawSegment<'_>>, ScanError<'_>> {
    let mut segments = Vec::new();
    while let Some(start) = text.find(OPEN) {
        let (before, expression) = (&text[..start], &text[start + OPEN.len()..]);
        push_text(before, &mut segments)?;
        let Some(end) = end_of(expression) else {
            return Err(ScanError {
                message: "this template does not end",
                hint: "close it with `}}`; for the text itself, write `${{ \"${{\" }}`",
                near: &text[start..],
            });
        };
        if expression[..end].trim().is_empty() {
            return Err(ScanError {
                message: "this template is empty",
                hint: "name a value, such as `${{ inputs.question }}`",
                near: &text[start..start + OPEN.len()],
            });
        }
        segments.push(RawSegment::Expression(&expression[..end]));
        text = &expression[end + 2..];
    }
    push_text(text, &mut segments)?;
    Ok(segments)
}

fn push_text<'a>(text: &'a str, segments: &mut Vec<RawSegment<'a>>) -> Result<(), ScanError<'a>> {
    if let Some(start) = text.find("{%")
        && let Some(end) = text[start..].find("%}")
    {
        return Err(ScanError {
            message: "statements such as `{% if %}` do not exist in flow files",
            hint: "use an expression: `${{ \"a\" if inputs.x else \"b\" }}`",
            near: &text[start..start + end + 2],
        });
    }
    if !text.is_empty() {
        segments.push(RawSegment::Text(text));
    }
    Ok(())
}

/// Returns the position of the `}}` that closes an expression: not in a string, and not the end of a table.
fn end_of(expression: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0usize;
    let mut escaped = false;
    for (place, c) in expression.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, '}') if expression[place..].starts_with("}}") => return Some(place),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_tables_may_contain_braces() {
        use RawSegment::{Expression, Text};
        let segments = |text| scan(text).map_err(|wrong| wrong.message);
        assert_eq!(segments("a ${{ b }} c"), Ok(vec![Text("a "), Expression(" b "), Text(" c")]));
        assert_eq!(segments("${{ '}}' }}"), Ok(vec![Expression(" '}}' ")]));
        assert_eq!(segments(r#"${{ "\"}}" }}"#), Ok(vec![Expression(r#" "\"}}" "#)]));
        assert_eq!(segments("${{ {'a': {'b': 1}} }}"), Ok(vec![Expression(" {'a': {'b': 1}} ")]));
        assert_eq!(segments("100% {x} $ {{ }}"), Ok(vec![Text("100% {x} $ {{ }}")]));
        assert!(segments("${{ 'a }}").is_err());
    }
}
