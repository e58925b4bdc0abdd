//! Names that an expression tests before it uses them: `steps.page.title is defined`, `steps.page.title |
//! default("")`.

use super::known_names::{Token, tokens};

/// Tests that accept an undefined value.
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

/// Tests that reveal nothing about the fields of a value.
const PRESENCE_TESTS: [&str; 3] = ["defined", "none", "undefined"];

/// How an expression uses a name at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum NameUse {
    /// It needs the value.
    Bare,
    /// It has a default for the value.
    Default,
    /// It tests whether the value is there.
    Presence,
    /// It tests the type of the value, or its fields.
    Kind,
}

/// The names of one expression, or of several that belong together, each with its use.
#[derive(Clone, Debug, Default)]
pub(crate) struct GuardedNames(Vec<(String, NameUse)>);

/// The effect of a field that cannot be there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum MissingField {
    /// The expression fails.
    Fails,
    /// The expression tests the field, and does without it.
    Tested,
    /// A test keeps the expression from reaching the field.
    Avoided,
}

impl GuardedNames {
    /// Adds the names of an expression.
    pub(super) fn add(&mut self, expression: &str) {
        let tokens: Vec<Token<'_>> = tokens(expression).into_iter().map(|(_, token)| token).collect();
        let mut place = 0;
        while let Some(token) = tokens.get(place) {
            let before = place.checked_sub(1).map(|before| tokens[before]);
            let starts_name = !matches!(before, Some(Token::Sign('.' | '|') | Token::Word("is")));
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
            if starts_name && name.contains('.') {
                self.0.push((name, name_use(&tokens, start, place)));
            }
        }
    }

    pub(crate) fn extend(&mut self, other: GuardedNames) {
        self.0.extend(other.0);
    }

    /// Returns whether an earlier condition tests this name, or the value whose field it is.
    pub(crate) fn guards(&self, lacks: &str) -> bool {
        self.0.iter().any(|(name, name_use)| match name_use {
            NameUse::Kind => lacks == name || is_below(lacks, name),
            NameUse::Presence => lacks == name,
            NameUse::Bare | NameUse::Default => false,
        })
    }

    /// Returns the effect of the missing field `lacks` where the expression uses `name`: the field itself or a field
    /// of it.
    pub(super) fn missing_field(&self, lacks: &str, name: &str) -> MissingField {
        let mut uses = self.0.iter().filter(|(used, _)| used == lacks || is_below(used, lacks));
        let is_given = name == lacks && uses.clone().next().is_some();
        if self.guards(lacks) {
            let is_tested = |(used, name_use): &(String, NameUse)| used == lacks && *name_use != NameUse::Bare;
            if name == lacks && self.0.iter().any(is_tested) { MissingField::Tested } else { MissingField::Avoided }
        } else if is_given && uses.all(|(_, name_use)| *name_use == NameUse::Default) {
            MissingField::Tested
        } else {
            MissingField::Fails
        }
    }
}

/// Returns whether a name is below `of`: a field of it, or a field of a field.
fn is_below(name: &str, of: &str) -> bool {
    name.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'))
}

/// Returns the use of the name between these positions.
fn name_use(tokens: &[Token<'_>], mut start: usize, mut end: usize) -> NameUse {
    // `'title' in steps.page`, `'title' not in steps.page`
    if let Some((Token::Word("in"), before)) = tokens[..start].split_last()
        && let [.., Token::Text(_)] | [.., Token::Text(_), Token::Word("not")] = before
    {
        return NameUse::Kind;
    }
    // Skips parentheses around the name, unless they are those of a call.
    while let ([before @ .., Token::Sign('(')], [Token::Sign(')'), ..]) = (&tokens[..start], &tokens[end..])
        && !matches!(before.last(), Some(Token::Word(word)) if !super::known_names::KEYWORDS.contains(word))
    {
        (start, end) = (start - 1, end + 1);
    }
    match tokens[end..] {
        [Token::Sign('|'), Token::Word("default" | "d"), ..] => NameUse::Default,
        [Token::Word("is"), Token::Word("not"), Token::Word(test), ..] | [Token::Word("is"), Token::Word(test), ..]
            if TESTS.contains(&test) =>
        {
            if PRESENCE_TESTS.contains(&test) {
                NameUse::Presence
            } else {
                NameUse::Kind
            }
        }
        _ => NameUse::Bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_field(expression: &str, name: &str) -> MissingField {
        let mut guarded = GuardedNames::default();
        guarded.add(expression);
        guarded.missing_field("steps.a.n", name)
    }

    #[test]
    fn tested_fields_do_not_fail() {
        for text in [
            "steps.a.n is defined",
            "not (steps.a.n is not defined)",
            "(steps.a.n) | default(1)",
            "steps.a.n|d(1) + 1",
            "steps.a.n if steps.a.n is defined else 2",
            "steps.a.n is mapping and steps.a.n.x == 1",
            "steps.a.n is none",
        ] {
            assert_eq!(missing_field(text, "steps.a.n"), MissingField::Tested, "{text}");
        }
        for (text, name) in [
            ("steps.a.n.x if steps.a.n is defined else 2", "steps.a.n.x"),
            ("steps.a.n if steps.a is mapping else steps.a", "steps.a.n"),
            ("'n' in steps.a and steps.a.n > 1", "steps.a.n"),
        ] {
            assert_eq!(missing_field(text, name), MissingField::Avoided, "{text}");
        }
    }

    #[test]
    fn untested_fields_fail() {
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
            assert_eq!(missing_field(text, name), MissingField::Fails, "{text}");
        }
    }
}
