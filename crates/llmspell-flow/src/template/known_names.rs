//! The names of filters, tests and functions in an expression. The library looks them up for a record; a typing error
//! should be found before.

use llmspell::internal::suggest;

use super::NameProblem;
use super::language::{FILTERS, FUNCTIONS, TESTS};

/// An unknown name, its position in the expression, and its problem.
pub(super) struct UnknownName<'a> {
    pub(super) word: &'a str,
    pub(super) at: usize,
    pub(super) name_problem: NameProblem,
}

/// A token of an expression. White space is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    /// A text, without its quotes.
    Text(&'a str),
    Sign(char),
}

/// Words that are not names, and may stand before a parenthesis.
pub(super) const KEYWORDS: [&str; 6] = ["and", "or", "not", "in", "if", "else"];

/// Filters that take the name of a filter or of a test, with the index of that argument.
const OF_FILTERS: [(&str, usize); 1] = [("map", 0)];
const OF_TESTS: [(&str, usize); 4] = [("select", 0), ("reject", 0), ("selectattr", 1), ("rejectattr", 1)];

/// Returns the unknown names of an expression that can be parsed.
pub(super) fn unknown(expression: &str) -> Vec<UnknownName<'_>> {
    let tokens = tokens(expression);
    let token = |place: usize| tokens.get(place).map(|(_, token)| *token);
    let mut found = Vec::new();
    for (place, (at, current)) in tokens.iter().enumerate() {
        let before = place.checked_sub(1).and_then(token);
        let earlier = place.checked_sub(2).and_then(token);
        let called = token(place + 1) == Some(Token::Sign('('));
        let name_problem = match (before, *current) {
            (Some(Token::Sign('|')), Token::Word(word)) => {
                found.extend(named(word, &tokens[place + 1..]));
                filter(word)
            }
            (Some(Token::Word("is")), Token::Word(word)) if word != "not" => test(word),
            (Some(Token::Word("not")), Token::Word(word)) if earlier == Some(Token::Word("is")) => test(word),
            // These are methods of `loop`, inside of `for`.
            (Some(Token::Sign('.')), Token::Word("cycle" | "changed")) if earlier == Some(Token::Word("loop")) => None,
            (Some(Token::Sign('.')), Token::Word(word)) if called => method(word),
            (_, Token::Word("loop")) => None,
            (_, Token::Word(word)) if called && !KEYWORDS.contains(&word) => function(word),
            _ => None,
        };
        if let (Some(name_problem), Token::Word(word)) = (name_problem, *current) {
            found.push(UnknownName { word, at: *at, name_problem });
        }
    }
    found.sort_by_key(|unknown| unknown.at);
    found
}

/// Returns an unknown filter or test that is named in the arguments of another filter, as in `map('upper')`.
fn named<'a>(filter_name: &str, rest: &[(usize, Token<'a>)]) -> Option<UnknownName<'a>> {
    let of = |table: &[(&str, usize)]| table.iter().find(|(name, _)| *name == filter_name).map(|(_, place)| *place);
    let (place, check): (_, fn(&str) -> _) = match (of(&OF_FILTERS), of(&OF_TESTS)) {
        (Some(place), _) => (place, filter),
        (None, Some(place)) => (place, test),
        (None, None) => return None,
    };
    // Literal arguments only: `('name', 'eq', …`.
    let (start, arguments) = rest.split_first()?;
    let (at, argument) = arguments.get(2 * place)?;
    let commas = arguments.iter().skip(1).step_by(2).take(place).all(|(_, token)| *token == Token::Sign(','));
    // Text that continues, as in `'up' ~ 'per'`, is a name that is not known yet.
    let ends = matches!(arguments.get(2 * place + 1), Some((_, Token::Sign(',' | ')'))));
    match *argument {
        Token::Text(word) if start.1 == Token::Sign('(') && commas && ends => {
            check(word).map(|name_problem| UnknownName { word, at: *at + 1, name_problem })
        }
        _ => None,
    }
}

fn filter(word: &str) -> Option<NameProblem> {
    name_problem("filter", word, FILTERS)
}

fn test(word: &str) -> Option<NameProblem> {
    name_problem("test", word, TESTS)
}

fn function(word: &str) -> Option<NameProblem> {
    name_problem("function", word, FUNCTIONS)
}

fn name_problem(what: &str, word: &str, known: &[&str]) -> Option<NameProblem> {
    let hint = || suggest::hint(word, known.iter().copied(), &format!("the {what}s are"));
    (!known.contains(&word)).then(|| NameProblem::new(format!("there is no {what} `{word}`"), hint()))
}

/// Values have no methods. Methods that Python has are often filters here.
fn method(word: &str) -> Option<NameProblem> {
    let hint = match FILTERS.contains(&word) {
        true => format!("it is a filter: `… | {word}`"),
        false => "values have fields and filters only, such as `… | upper`".to_owned(),
    };
    Some(NameProblem::new(format!("there is no method `{word}`"), hint))
}

pub(super) fn tokens(expression: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = expression[at..].chars().next() {
        let rest = &expression[at..];
        let (len, token) = match first {
            '"' | '\'' => {
                let len = quoted(rest, first);
                (len, Some(Token::Text(rest[..len].trim_matches(first))))
            }
            _ if is_word(first) => {
                let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (len, Some(Token::Word(&rest[..len])))
            }
            _ => (first.len_utf8(), (!first.is_whitespace()).then_some(Token::Sign(first))),
        };
        tokens.extend(token.map(|token| (at, token)));
        at += len;
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the length of a text with its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return place + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(expression: &str) -> Vec<&str> {
        unknown(expression).into_iter().map(|unknown| unknown.word).collect()
    }

    #[test]
    fn unknown_names_are_found() {
        assert_eq!(words("a|nope"), ["nope"]);
        assert_eq!(words("a | upper | tojson(indent=2)"), ["tojson"]);
        assert_eq!(words("1 is nope or 2 is not neither"), ["nope", "neither"]);
        assert_eq!(words("inputs.items() ~ nope(1)"), ["items", "nope"]);
        assert_eq!(words("a|map('nope')|select(\"odd\")|rejectattr('x', 'nah', 1)"), ["nope", "nah"]);
        let at = unknown("a|nope");
        assert_eq!((at[0].at, at[0].name_problem.hint.contains("the filters are: abs,")), (2, true));
    }

    #[test]
    fn other_words_are_ignored() {
        for fine in [
            "not (a in (b, 'x|nope')) and (c if (d) else (e))",
            "a.is.nope",
            "range(3) | map(attribute='nope') | join(', ')",
            "a is divisibleby(3) and a is not none and a is startingwith 'x'",
            "dict(a=1) | dictsort | list | selectattr('x') | map(inputs.filter)",
            "'it\\'s | nope'",
        ] {
            assert_eq!(words(fine), [""; 0], "{fine}");
        }
    }
}
