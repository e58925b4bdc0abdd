//! Names that an expression tests before it uses them: `steps.page.title is defined`, `steps.page.title | default("")`.

use super::known_names::{Token, tokens};

/// Tests that take what is not there.
const TESTS: [&str; 14] = [
    "boolean",
    "defined",
    "false",
    "float",
    "int",
    "integer",
    "iterable",
    "mapping",
    "none",
    "number",
    "sequence",
    "string",
    "true",
    "undefined",
];

/// Those that tell nothing of the fields of a value.
const OF_PRESENCE: [&str; 3] = ["defined", "none", "undefined"];

/// What an expression does with a name where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Use {
    /// It needs the value.
    Bare,
    /// Something stands in for it.
    Default,
    /// Whether it is there.
    Presence,
    /// What it is, or which fields it has.
    Sort,
}

/// The names of an expression, or of several that belong together, each with what is done with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tested(Vec<(String, Use)>);

/// What comes of a field that cannot be there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Lack {
    /// The expression fails.
    Fails,
    /// It asks for the field, and goes on without.
    IsAsked,
    /// It never comes to that.
    IsAvoided,
}

impl Tested {
    /// Adds those of an expression.
    pub(super) fn add(&mut self, expression: &str) {
        let tokens: Vec<Token<'_>> = tokens(expression).into_iter().map(|(_, token)| token).collect();
        let mut place = 0;
        while let Some(token) = tokens.get(place) {
            let before = place.checked_sub(1).map(|before| tokens[before]);
            let begins = !matches!(before, Some(Token::Sign('.' | '|') | Token::Word("is")));
            let Token::Word(first) = *token else {
                place += 1;
                continue;
            };
            let (start, mut name) = (place, first.to_owned());
            place += 1;
            while let [Token::Sign('.'), Token::Word(field), ..] = tokens[place..] {
                name = format!("{name}.{field}");
                place += 2;
            }
            if begins && name.contains('.') {
                self.0.push((name, used(&tokens, start, place)));
            }
        }
    }

    pub(crate) fn extend(&mut self, other: Tested) {
        self.0.extend(other.0);
    }

    /// Whether a condition before has asked for this, or for what it is a field of.
    pub(crate) fn asks(&self, lacks: &str) -> bool {
        self.0.iter().any(|(name, how)| match how {
            Use::Sort => lacks == name || is_below(lacks, name),
            Use::Presence => lacks == name,
            Use::Bare | Use::Default => false,
        })
    }

    /// What comes of it that `lacks` cannot be there, where the expression uses `name`: that, or a field of it.
    pub(super) fn lack(&self, lacks: &str, name: &str) -> Lack {
        let mut uses = self.0.iter().filter(|(used, _)| used == lacks || is_below(used, lacks));
        let is_given = name == lacks && uses.clone().next().is_some();
        if self.asks(lacks) {
            let itself = |(used, how): &(String, Use)| used == lacks && *how != Use::Bare;
            if name == lacks && self.0.iter().any(itself) { Lack::IsAsked } else { Lack::IsAvoided }
        } else if is_given && uses.all(|(_, how)| *how == Use::Default) {
            Lack::IsAsked
        } else {
            Lack::Fails
        }
    }
}

/// Whether a name is that of a field, or of a field of a field, of `of`.
fn is_below(name: &str, of: &str) -> bool {
    name.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'))
}

/// What is done with the name between these places.
fn used(tokens: &[Token<'_>], mut start: usize, mut end: usize) -> Use {
    // `'title' in steps.page`, `'title' not in steps.page`
    if let Some((Token::Word("in"), before)) = tokens[..start].split_last()
        && let [.., Token::Text(_)] | [.., Token::Text(_), Token::Word("not")] = before
    {
        return Use::Sort;
    }
    // Parentheses around it, unless they are those of a call.
    while let ([before @ .., Token::Sign('(')], [Token::Sign(')'), ..]) = (&tokens[..start], &tokens[end..])
        && !matches!(before.last(), Some(Token::Word(word)) if !super::known_names::KEYWORDS.contains(word))
    {
        (start, end) = (start - 1, end + 1);
    }
    match tokens[end..] {
        [Token::Sign('|'), Token::Word("default" | "d"), ..] => Use::Default,
        [Token::Word("is"), Token::Word("not"), Token::Word(test), ..] | [Token::Word("is"), Token::Word(test), ..]
            if TESTS.contains(&test) =>
        {
            if OF_PRESENCE.contains(&test) {
                Use::Presence
            } else {
                Use::Sort
            }
        }
        _ => Use::Bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lack(expression: &str, name: &str) -> Lack {
        let mut tested = Tested::default();
        tested.add(expression);
        tested.lack("steps.a.n", name)
    }

    #[test]
    fn what_is_tested_does_not_fail() {
        for text in [
            "steps.a.n is defined",
            "not (steps.a.n is not defined)",
            "(steps.a.n) | default(1)",
            "steps.a.n|d(1) + 1",
            "steps.a.n if steps.a.n is defined else 2",
            "steps.a.n is mapping and steps.a.n.x == 1",
            "steps.a.n is none",
        ] {
            assert_eq!(lack(text, "steps.a.n"), Lack::IsAsked, "{text}");
        }
        for (text, name) in [
            ("steps.a.n.x if steps.a.n is defined else 2", "steps.a.n.x"),
            ("steps.a.n if steps.a is mapping else steps.a", "steps.a.n"),
            ("'n' in steps.a and steps.a.n > 1", "steps.a.n"),
        ] {
            assert_eq!(lack(text, name), Lack::IsAvoided, "{text}");
        }
    }

    #[test]
    fn what_is_not_fails() {
        for (text, name) in [
            ("steps.a.n", "steps.a.n"),
            ("steps.a.n ~ (steps.a.n | default(''))", "steps.a.n"),
            ("(steps.a.n | trim) | default('')", "steps.a.n"),
            ("f(steps.a.n) | default('')", "steps.a.n"),
            ("steps.a.n.x | default('')", "steps.a.n.x"),
            ("steps.a.n.x is defined", "steps.a.n.x"),
            ("steps.a.n if steps.a is defined else 1", "steps.a.n"),
            ("steps.a.n is odd", "steps.a.n"),
            ("'steps.a.n is defined' ~ steps.a.n", "steps.a.n"),
        ] {
            assert_eq!(lack(text, name), Lack::Fails, "{text}");
        }
    }
}
