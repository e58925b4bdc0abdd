//! Finds the expressions in a text.

/// A stretch of a text.
#[derive(Debug, PartialEq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    /// What stands between `${{` and `}}`.
    Expression(&'a str),
}

/// Why a text is no template.
#[derive(Debug)]
pub(super) struct Wrong<'a> {
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
    /// The part of the text it is about.
    pub(super) near: &'a str,
}

/// How an expression begins.
pub(super) const OPEN: &str = "${{";

/// Splits a text into what is copied and what is computed.
pub(super) fn scan(mut text: &str) -> Result<Vec<Part<'_>>, Wrong<'_>> {
    let mut parts = Vec::new();
    while let Some(start) = text.find(OPEN) {
        let (before, expression) = (&text[..start], &text[start + OPEN.len()..]);
        copied(before, &mut parts)?;
        let Some(end) = end_of(expression) else {
            return Err(Wrong {
                message: "this template does not end",
                hint: "close it with `}}`; for the text itself, write `${{ \"${{\" }}`",
                near: &text[start..],
            });
        };
        if expression[..end].trim().is_empty() {
            return Err(Wrong {
                message: "this template is empty",
                hint: "name a value, such as `${{ inputs.question }}`",
                near: &text[start..start + OPEN.len()],
            });
        }
        parts.push(Part::Expression(&expression[..end]));
        text = &expression[end + 2..];
    }
    copied(text, &mut parts)?;
    Ok(parts)
}

fn copied<'a>(text: &'a str, parts: &mut Vec<Part<'a>>) -> Result<(), Wrong<'a>> {
    if let Some(start) = text.find("{%")
        && let Some(end) = text[start..].find("%}")
    {
        return Err(Wrong {
            message: "statements such as `{% if %}` do not exist in flow files",
            hint: "use an expression: `${{ \"a\" if inputs.x else \"b\" }}`",
            near: &text[start..start + end + 2],
        });
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(())
}

/// Where the `}}` of an expression is: not in a string, not the end of a table in it.
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
    fn strings_and_tables_may_hold_braces() {
        use Part::{Expression, Text};
        let parts = |text| scan(text).map_err(|wrong| wrong.message);
        assert_eq!(parts("a ${{ b }} c"), Ok(vec![Text("a "), Expression(" b "), Text(" c")]));
        assert_eq!(parts("${{ '}}' }}"), Ok(vec![Expression(" '}}' ")]));
        assert_eq!(parts(r#"${{ "\"}}" }}"#), Ok(vec![Expression(r#" "\"}}" "#)]));
        assert_eq!(parts("${{ {'a': {'b': 1}} }}"), Ok(vec![Expression(" {'a': {'b': 1}} ")]));
        assert_eq!(parts("100% {x} $ {{ }}"), Ok(vec![Text("100% {x} $ {{ }}")]));
        assert!(parts("${{ 'a }}").is_err());
    }
}
