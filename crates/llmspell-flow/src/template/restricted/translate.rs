//! Translation of a restricted template to one of the engine: each expression is checked here, and its value at run time.

use llmspell::{Error, Result};

use super::super::known_names::unknown;
use super::super::language::LANGUAGE;
use super::super::large_stack::{MAX_EXPR_BYTES, depth_estimate, with_stack_for};
use super::super::operators::{Operators, operators};
use super::super::tags::{Tag, scan};
use super::{BoundExpr, CHECK};

/// The most levels of `if` and `for`: each level of a loop can hold a value of the largest size.
const MAX_DEPTH: usize = 16;

/// The most `elif`: each takes stack.
const MAX_ELIFS: usize = 4096;

/// The most sums and products of an expression: see [`check_operators`].
const MAX_SUMS: usize = 16;
const MAX_PRODUCTS: usize = 1;

/// A template of the engine.
pub(super) struct Translated {
    pub(super) source: String,
    pub(super) exprs: Vec<BoundExpr>,
    /// The positions of the tags of the expressions in `source`.
    pub(super) positions: Vec<usize>,
    /// The recursion depth that it takes.
    pub(super) depth: usize,
}

pub(super) fn translate(text: &str) -> Result<Translated> {
    let found = scan(text);
    let source = String::with_capacity(text.len());
    let mut translator = Translator { text, source, exprs: Vec::new(), positions: Vec::new() };
    if let Some(raw) = found.raw {
        return Err(unknown_statement(translator.error(raw, "unknown statement `raw`")));
    }
    let (mut at, mut elifs, mut depth) = (0, 0, 0);
    let mut blocks = Blocks::default();
    for tag in &found.tags {
        translator.source.push_str(&text[at..tag.start]);
        translator.tag(tag)?;
        at = tag.end;
        depth = depth.max(depth_estimate(tag.text) + 2);
        elifs += usize::from(tag.word == Some("elif"));
        if elifs > MAX_ELIFS {
            return Err(translator.error(tag.start, &format!("the template has more than {MAX_ELIFS} `elif`")));
        }
        blocks.statement(tag.word.unwrap_or_default()).map_err(|why| translator.error(tag.start, &why))?;
    }
    if let Some(unclosed) = found.unclosed {
        return Err(translator.unclosed(unclosed));
    }
    if let Some((word, _)) = blocks.open.last() {
        let error = translator.error(text.len(), &format!("the `{word}` never ends"));
        return Err(error.with_hint(format!("end it with {{% end{word} %}}")));
    }
    translator.source.push_str(&text[at..]);
    let Translator { source, exprs, positions, .. } = translator;
    Ok(Translated { source, exprs, positions, depth: depth + elifs })
}

/// The `if` and `for` around a position, outermost first, each with whether its `else` has begun.
#[derive(Default)]
struct Blocks {
    open: Vec<(&'static str, bool)>,
}

impl Blocks {
    /// Opens, divides or closes a block. The engine would report a mismatch in terms of its parser.
    fn statement(&mut self, word: &str) -> std::result::Result<(), String> {
        match word {
            "if" => self.open.push(("if", false)),
            "for" => self.open.push(("for", false)),
            "elif" | "else" | "endif" | "endfor" => {
                let Some((block, in_else)) = self.open.last_mut() else { return Err(format!("`{word}` ends nothing")) };
                match (word, *block) {
                    ("endif", "if") | ("endfor", "for") => drop(self.open.pop()),
                    ("elif", "if") if !*in_else => {}
                    ("else", _) if !*in_else => *in_else = true,
                    (_, block) => return Err(format!("`{word}` does not belong to this `{block}`")),
                }
            }
            _ => {}
        }
        match self.open.len() > MAX_DEPTH {
            true => Err(format!("`if` and `for` are nested more than {MAX_DEPTH} deep")),
            false => Ok(()),
        }
    }
}

struct Translator<'a> {
    text: &'a str,
    source: String,
    exprs: Vec<BoundExpr>,
    positions: Vec<usize>,
}

impl Translator<'_> {
    /// Adds a tag, with its marks for white space and its number of lines.
    fn tag(&mut self, tag: &Tag<'_>) -> Result<()> {
        let whole = &self.text[tag.start..tag.end];
        let inner = &whole[2..whole.len() - 2];
        let begin = inner.chars().next().filter(|sign| "-+".contains(*sign)).map_or(String::new(), String::from);
        let end = if inner.len() > begin.len() && inner.ends_with('-') { "-" } else { "" };
        let expr = tag.text.strip_suffix('-').unwrap_or(tag.text);
        let written = match tag.word {
            None => {
                let expr = expr.strip_prefix(['-', '+']).unwrap_or(expr);
                let checked = self.checked(tag, expr, None)?;
                format!("{{{{{begin} {checked}")
            }
            Some(word) => {
                let before = inner[begin.len()..].trim_start();
                if !before.starts_with(word) {
                    return Err(self.error(tag.start, "this tag has no statement"));
                }
                let rest = self.statement(tag, word, expr)?;
                format!("{{%{begin} {word}{rest}")
            }
        };
        // Lines of errors stay those of the text.
        let lines = "\n".repeat(whole.matches('\n').count().saturating_sub(written.matches('\n').count()));
        let close = if tag.word.is_some() { "%}" } else { "}}" };
        self.source.push_str(&format!("{written}{lines} {end}{close}"));
        Ok(())
    }

    /// Returns the part of a statement behind its keyword.
    fn statement(&mut self, tag: &Tag<'_>, word: &str, expr: &str) -> Result<String> {
        match word {
            "if" | "elif" => Ok(format!(" {}", self.checked(tag, expr, None)?)),
            "for" => {
                let hint = "write {% for item in items %} or {% for key, value in table %}";
                let (names, list) = expr
                    .split_once(" in ")
                    .ok_or_else(|| self.error(tag.start, "this `for` has no `in`").with_hint(hint))?;
                let names: Vec<&str> = names.split(',').map(str::trim).collect();
                let is_name = |name: &&str| {
                    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                };
                if names.len() > 2 || !names.iter().all(is_name) {
                    return Err(self.error(tag.start, "this `for` does not name one or two values").with_hint(hint));
                }
                let list = self.checked(tag, list, Some(names.len()))?;
                Ok(format!(" {} in {list}", names.join(", ")))
            }
            "else" | "endif" | "endfor" => Ok(String::new()),
            _ => Err(unknown_statement(self.error(tag.start, &format!("unknown statement `{word}`")))),
        }
    }

    /// Checks an expression, and returns it with the check of its value. The parentheses keep a tag from ending within it.
    fn checked(&mut self, tag: &Tag<'_>, expr: &str, bindings: Option<usize>) -> Result<String> {
        let text = expr.trim();
        let invalid = |why: &str| self.error(tag.start, &format!("`{text}` {why}"));
        if text.len() > MAX_EXPR_BYTES {
            return Err(self.error(tag.start, &format!("an expression is longer than {MAX_EXPR_BYTES} bytes")));
        }
        check_operators(text).map_err(|(why, hint)| invalid(why).with_hint(hint))?;
        let compile = || {
            let compiled = LANGUAGE.compile_expression_owned(text.to_owned()).map(drop);
            compiled.map_err(|error| error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
        };
        with_stack_for(depth_estimate(text), compile).flatten().map_err(|why| {
            invalid(&format!("cannot be read: {why}")).with_hint("write an expression of Jinja, such as `name | upper`")
        })?;
        if let Some(unknown) = unknown(text).into_iter().next() {
            return Err(self.error(tag.start, &unknown.name_problem.message).with_hint(unknown.name_problem.hint));
        }
        let index = self.exprs.len();
        self.exprs.push(BoundExpr { text: text.to_owned(), line: self.line(tag.start), bindings });
        self.positions.push(self.source.len());
        Ok(format!("({expr})|{CHECK}({index})"))
    }

    fn unclosed(&self, at: usize) -> Error {
        let rest = &self.text[at..];
        if rest.starts_with("{#") {
            return self.error(at, "the comment never ends").with_hint("end it with #}");
        }
        let close = if rest.starts_with("{%") { "%}" } else { "}}" };
        let shown: String = rest.chars().take(30).collect();
        self.error(at, &format!("this tag never ends: `{shown}`")).with_hint(format!("end it with {close}"))
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    fn error(&self, at: usize, why: &str) -> Error {
        Error::invalid(format!("line {} of the template: {why}", self.line(at)))
    }
}

fn unknown_statement(error: Error) -> Error {
    error.with_hint("use `if`, `elif`, `else`, `endif`, `for` and `endfor`")
}

/// Checks that an expression cannot make a value out of proportion to its operands. Filters have bounds; operators have
/// none, and process their operands whatever their size.
fn check_operators(text: &str) -> std::result::Result<(), (&'static str, &'static str)> {
    let Operators { sums, products, joins, .. } = operators(text);
    match (sums, products) {
        _ if joins > 0 => Err(("has a `~`", "write the texts side by side: {{ a }}{{ b }}")),
        (..=MAX_SUMS, ..=MAX_PRODUCTS) => Ok(()),
        _ => Err(("adds or multiplies too often", "compute it in a step of its own, with the `calculator`")),
    }
}
