//! Counts of the operators of an expression, taken from its text. Filters have bounds; operators have none, and go
//! through all of their operands.

/// The reason for which an expression of a flow file is rejected, and the hint.
type Refusal = (&'static str, &'static str);

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Operators {
    pub(super) sums: usize,
    /// `*`; `**` counts twice.
    pub(super) products: usize,
    /// `~`.
    pub(super) joins: usize,
    /// Whether it makes a list or a table in brackets, rather than by a filter or a name.
    pub(super) builds_collection: bool,
}

pub(super) fn operators(text: &str) -> Operators {
    let mut found = Operators::default();
    let (mut quote, mut before) = (None, ' ');
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            Some(_) if c == '\\' => {
                chars.next();
            }
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' => quote = Some(c),
                '~' => found.joins += 1,
                '+' => found.sums += 1,
                '*' => found.products += 1,
                '{' => found.builds_collection = true,
                // Behind a value, a bracket is an index.
                '[' => {
                    found.builds_collection |=
                        !(before.is_alphanumeric() || "_)]}\"'".contains(before)) || is_word(&text[..at]);
                }
                '(' => found.builds_collection |= text[..at].trim_end().ends_with("dict"),
                _ => {}
            },
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    found
}

/// Returns whether a keyword stands before a bracket, and not a name.
fn is_word(text: &str) -> bool {
    let word = text.trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
    word.is_some_and(|word| ["in", "and", "or", "not", "if", "else", "is"].contains(&word))
}

/// Returns why an expression may take unbounded time. A list of a million lists, each a million times the same, takes
/// no memory and no time until it is compared or written.
pub(super) fn unbounded_work(text: &str) -> Option<Refusal> {
    let Operators { products, joins, builds_collection, .. } = operators(text);
    match (products, joins) {
        (1.., 1..) => Some(("multiplies and has a `~`", "join texts by `[a, b] | join`, which has bounds")),
        (2.., _) if builds_collection => Some((
            "multiplies several times beside a list or a table",
            "compute it in several steps, or by `calculator`",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_repetition_is_rejected() {
        for wrong in [
            "(([['x'] * 1000000] * 1000000) ~ '') | length",
            "[[1] * 9] * 9 == [[1] * 9] * 9",
            "{'a': 'x' * 9}.a * 9",
            "dict(a=l * 9).a * 9",
            "1 in [x * 9] * 9",
            "x * 9 ~ y",
        ] {
            assert!(unbounded_work(wrong).is_some(), "{wrong}");
        }
        for fine in
            ["a ~ b ~ '*'", "a * b * c + 2 ** 3", "a[0] * b['x'][1] * 2", "[1] * 3", "'[' * 2 * 2", "f(x)[0] * 2 * 2"]
        {
            assert_eq!(unbounded_work(fine), None, "{fine}");
        }
    }
}
