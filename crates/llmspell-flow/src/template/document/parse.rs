//! From the text of a document to its parts.

use std::sync::Arc;

use llmspell::{Error, Result};

use super::super::known_names::unknown;
use super::super::language::LANGUAGE;
use super::super::large_stack::{MAX_EXPR_BYTES, depth_estimate, with_stack_for};
use super::super::operators::{Operators, operators as counted};
use super::{Expr, Part};

/// How deep `if` and `for` may be nested: each takes stack.
const DEEPEST: usize = 16;

/// What an expression may make larger: see [`operators`].
const SUMS: usize = 16;
const PRODUCTS: usize = 1;

pub(super) fn parse(text: &str) -> Result<Vec<Part>> {
    let mut reader = Reader { text, at: 0, trims: false };
    let (parts, end) = reader.parts(0)?;
    match end {
        None => Ok(parts),
        Some(end) => Err(reader.wrong(&format!("`{}` ends nothing", end.word)).with_hint("is there one too many?")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Whether white space that follows is left out: after `-}}` and `-%}`.
    trims: bool,
}

/// A statement that ends the parts before it.
struct End<'a> {
    word: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Parts up to the end, or up to a statement that belongs to the one around them.
    fn parts(&mut self, depth: usize) -> Result<(Vec<Part>, Option<End<'a>>)> {
        if depth > DEEPEST {
            return Err(self.wrong(&format!("`if` and `for` are nested more than {DEEPEST} deep")));
        }
        let mut parts = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let open = ["{{", "{%", "{#"].iter().filter_map(|open| rest.find(open)).min();
            let mut text = &rest[..open.unwrap_or(rest.len())];
            if std::mem::take(&mut self.trims) {
                text = text.trim_start();
            }
            let opens = open.map(|open| &rest[open..]);
            if opens.is_some_and(|tag| tag[2..].starts_with('-')) {
                text = text.trim_end();
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            let (Some(open), Some(tag)) = (open, opens) else {
                self.at = self.text.len();
                return Ok((parts, None));
            };
            self.at += open;
            match &tag[..2] {
                "{#" => {
                    let end = tag.find("#}").ok_or_else(|| self.wrong("the comment never ends"))?;
                    self.trims = tag[..end].ends_with('-');
                    self.at += end + 2;
                }
                "{{" => {
                    let inner = self.inner(tag, "}}")?;
                    parts.push(Part::Value(self.formula(inner)?));
                }
                _ => {
                    let inner = self.inner(tag, "%}")?;
                    let word = &inner[..inner.find(|c: char| !c.is_alphanumeric()).unwrap_or(inner.len())];
                    let rest = inner[word.len()..].trim();
                    match word {
                        "if" => parts.push(self.condition(rest, depth)?),
                        "for" => parts.push(self.repetition(rest, depth)?),
                        "elif" | "else" | "endif" | "endfor" => return Ok((parts, Some(End { word, rest }))),
                        _ => {
                            let error = self.wrong(&format!("`{word}` is no statement"));
                            return Err(error.with_hint("there are `if`, `elif`, `else`, `endif`, `for` and `endfor`"));
                        }
                    }
                }
            }
        }
    }

    fn condition(&mut self, first: &str, depth: usize) -> Result<Part> {
        let mut branches = Vec::new();
        let mut condition = Some(self.formula(first)?);
        loop {
            let (body, end) = self.parts(depth + 1)?;
            let last = condition.is_none();
            branches.push((condition.take(), body));
            match end {
                Some(End { word: "endif", .. }) => return Ok(Part::If(branches)),
                Some(End { word: "elif", rest }) if !last => condition = Some(self.formula(rest)?),
                Some(End { word: "else", .. }) if !last => {}
                Some(end) => return Err(self.wrong(&format!("`{}` does not belong to this `if`", end.word))),
                None => return Err(self.wrong("an `if` never ends").with_hint("end it with {% endif %}")),
            }
        }
    }

    fn repetition(&mut self, head: &str, depth: usize) -> Result<Part> {
        let hint = "write {% for item in items %} or {% for key, value in table %}";
        let (names, over) =
            head.split_once(" in ").ok_or_else(|| self.wrong("this `for` has no `in`").with_hint(hint))?;
        let names: Vec<Arc<str>> = names.split(',').map(|name| Arc::from(name.trim())).collect();
        let is_name = |name: &Arc<str>| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if names.len() > 2 || !names.iter().all(is_name) {
            return Err(self.wrong("this `for` does not name one or two values").with_hint(hint));
        }
        let over = self.formula(over)?;
        let (body, end) = self.parts(depth + 1)?;
        let (otherwise, end) = match end {
            Some(End { word: "else", .. }) => self.parts(depth + 1)?,
            end => (Vec::new(), end),
        };
        match end {
            Some(End { word: "endfor", .. }) => Ok(Part::For { names, over, body, otherwise }),
            Some(end) => Err(self.wrong(&format!("`{}` does not belong to this `for`", end.word))),
            None => Err(self.wrong("a `for` never ends").with_hint("end it with {% endfor %}")),
        }
    }

    /// What stands between the braces of a tag, which is passed over.
    fn inner(&mut self, tag: &'a str, close: &str) -> Result<&'a str> {
        let (mut quote, mut open) = (None, 0usize);
        let mut chars = tag.char_indices().skip(2);
        while let Some((at, c)) = chars.next() {
            match quote {
                Some(_) if c == '\\' => {
                    chars.next();
                }
                Some(end) if c == end => quote = None,
                Some(_) => {}
                None if open == 0 && tag[at..].starts_with(close) => {
                    let inner = &tag[2..at];
                    self.at += at + 2;
                    self.trims = inner.ends_with('-');
                    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
                    return Ok(inner.strip_suffix('-').unwrap_or(inner).trim());
                }
                None if c == '"' || c == '\'' => quote = Some(c),
                None if "([{".contains(c) => open += 1,
                None if ")]}".contains(c) => open = open.saturating_sub(1),
                None => {}
            }
        }
        Err(self
            .wrong(&format!("this tag never ends: `{}`", tag.chars().take(30).collect::<String>()))
            .with_hint(format!("end it with {close}")))
    }

    fn formula(&self, text: &str) -> Result<Expr> {
        let wrong = |why: &str| self.wrong(&format!("`{text}` {why}"));
        if text.len() > MAX_EXPR_BYTES {
            return Err(self.wrong(&format!("an expression is longer than {MAX_EXPR_BYTES} bytes")));
        }
        operators(text).map_err(|(why, hint)| wrong(why).with_hint(hint))?;
        let read = || {
            let read = LANGUAGE.compile_expression_owned(text.to_owned());
            read.map_err(|error| error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
        };
        let expression = with_stack_for(depth_estimate(text), read).flatten().map_err(|why| {
            wrong(&format!("cannot be read: {why}")).with_hint("expressions are those of Jinja, such as `name | upper`")
        })?;
        if let Some(unknown) = unknown(text).into_iter().next() {
            return Err(self.wrong(&unknown.name_problem.message).with_hint(unknown.name_problem.hint));
        }
        Ok(Expr { text: text.to_owned(), depth_estimate: depth_estimate(text), line: self.line(), expression })
    }

    fn line(&self) -> usize {
        self.text[..self.at].matches('\n').count() + 1
    }

    fn wrong(&self, why: &str) -> Error {
        Error::invalid(format!("line {} of the template: {why}", self.line()))
    }
}

/// Whether an expression can make something out of all proportion to what it is given. Filters have their bounds;
/// operators have none, and write out whatever they are given.
fn operators(text: &str) -> std::result::Result<(), (&'static str, &'static str)> {
    let Operators { sums, products, joins, .. } = counted(text);
    match (sums, products) {
        _ if joins > 0 => Err(("has a `~`", "write the texts side by side: {{ a }}{{ b }}")),
        (..=SUMS, ..=PRODUCTS) => Ok(()),
        _ => Err(("adds or multiplies too often", "compute it in a step of its own, with the `calculator`")),
    }
}
