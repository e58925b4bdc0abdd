//! The operators of an expression, counted in its text: filters have their bounds, operators have none, and go through
//! whatever they are given.

/// What an expression of a flow file is refused for, and what to write instead.
type Refusal = (&'static str, &'static str);

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Operators {
    pub(super) sums: usize,
    /// `*`, and `**` twice.
    pub(super) products: usize,
    /// `~`.
    pub(super) joins: usize,
    /// Whether it makes a list or a table: not of what a filter or a name gives, but in brackets.
    pub(super) makes: bool,
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
                '{' => found.makes = true,
                // Behind a value, it takes a part out of it.
                '[' => found.makes |= !(before.is_alphanumeric() || "_)]}\"'".contains(before)) || is_word(&text[..at]),
                '(' => found.makes |= text[..at].trim_end().ends_with("dict"),
                _ => {}
            },
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    found
}

/// Whether a word of the language stands before a bracket, and not a name.
fn is_word(text: &str) -> bool {
    let word = text.trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
    word.is_some_and(|word| ["in", "and", "or", "not", "if", "else", "is"].contains(&word))
}

/// Whether an expression may go on for ever: a list of a million lists, each a million times the same, takes no room
/// and no time until it is compared or written.
pub(super) fn endless(text: &str) -> Option<Refusal> {
    let Operators { products, joins, makes, .. } = operators(text);
    match (products, joins) {
        (1.., 1..) => Some(("multiplies and has a `~`", "join texts by `[a, b] | join`, which has bounds")),
        (2.., _) if makes => Some((
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
    fn repetition_within_repetition_is_refused() {
        for wrong in [
            "(([['x'] * 1000000] * 1000000) ~ '') | length",
            "[[1] * 9] * 9 == [[1] * 9] * 9",
            "{'a': 'x' * 9}.a * 9",
            "dict(a=l * 9).a * 9",
            "1 in [x * 9] * 9",
            "x * 9 ~ y",
        ] {
            assert!(endless(wrong).is_some(), "{wrong}");
        }
        for fine in
            ["a ~ b ~ '*'", "a * b * c + 2 ** 3", "a[0] * b['x'][1] * 2", "[1] * 3", "'[' * 2 * 2", "f(x)[0] * 2 * 2"]
        {
            assert_eq!(endless(fine), None, "{fine}");
        }
    }
}
