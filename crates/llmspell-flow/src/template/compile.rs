//! From values of a flow file to templates, with everything that can be known before a record is there.

use std::ops::Range;
use std::sync::Arc;

use minijinja::Expression;
use serde_json::Value;

use super::guarded_names::{Lack, Tested};
use super::known_names::{Unknown, unknown};
use super::language::LANGUAGE;
use super::large_stack::{LONGEST, links, roomy};
use super::operators::endless;
use super::scan::{OPEN, Part, scan};
use super::{Formula, Piece, Template};
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::located::Located;
use crate::syntax::node::Node;
use crate::syntax::source::Source;

/// An expression that can be computed, and the names that it uses.
type Read = std::result::Result<(Expression<'static, 'static>, Vec<String>), String>;

fn read(text: &str) -> Read {
    let expression = LANGUAGE
        .compile_expression_owned(text.to_owned())
        .map_err(|error| error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))?;
    let mut names: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
    names.sort();
    Ok((expression, names))
}

/// Compiles the templates of a file, and keeps what is wrong with them.
pub(crate) struct Compiler<'a> {
    pub(crate) source: &'a Source,
    pub(crate) problems: Vec<Diagnostic>,
    /// What can be computed, but hardly means what it says.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Looks at a name that an expression uses, such as `steps.clean.text`, and says what is wrong with it.
pub(crate) type Check<'a> = &'a dyn Fn(&str) -> Option<Complaint>;

/// What is wrong, and what to do about it.
pub(crate) struct Complaint {
    pub(crate) message: String,
    pub(crate) hint: String,
    /// The name of a field that cannot be there, if it is that: an expression can ask for it all the same.
    pub(crate) lacks: Option<String>,
}

impl Complaint {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Complaint { message: message.into(), hint: hint.into(), lacks: None }
    }
}

impl<'a> Compiler<'a> {
    /// A compiler that adds to the problems there are.
    pub(crate) fn new(source: &'a Source, problems: Vec<Diagnostic>) -> Self {
        Compiler { source, problems, warnings: Vec::new() }
    }

    /// Compiles a value, and checks each name that its expressions use.
    pub(crate) fn compile(&mut self, node: Located<&Node>, check: Check<'_>) -> Template {
        match node.value {
            Node::Plain(value) => Template::Plain(value.clone()),
            Node::Text(text) => self.text(text, node.at, check),
            Node::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.compile(item.as_ref(), check)).collect();
                Template::List(items).settled()
            }
            Node::Map(entries) => {
                let entries = entries.0.iter();
                for (key, _) in entries.clone().filter(|(key, _)| key.value.contains(OPEN)) {
                    let problem = self.source.diagnose(Some(key.at.clone()), "a template cannot be a key");
                    let hint = "make the table in an expression: `${{ dict([[inputs.key, inputs.value]]) }}`";
                    self.problems.push(problem.with_hint(hint));
                }
                let entries: Vec<_> =
                    entries.map(|(key, value)| (key.value.clone(), self.compile(value.as_ref(), check))).collect();
                Template::Map(entries).settled()
            }
        }
    }

    fn text(&mut self, text: &str, at: Range<usize>, check: Check<'_>) -> Template {
        let parts = match scan(text) {
            Ok(parts) => parts,
            Err(wrong) => {
                let at = self.find(wrong.near, &at).unwrap_or(at);
                self.problems.push(self.source.diagnose(Some(at), wrong.message).with_hint(wrong.hint));
                return unread();
            }
        };
        let (mut pieces, mut all_read) = (Vec::new(), true);
        let mut searched = at.clone();
        for part in parts {
            match part {
                Part::Text(text) => pieces.push(Piece::Text(text.to_owned())),
                Part::Expression(expression) => {
                    let place = self.find(expression, &searched).unwrap_or_else(|| at.clone());
                    searched.start = place.end.min(searched.end);
                    let formula = self.formula(expression, place, check);
                    all_read &= formula.is_some();
                    pieces.extend(formula.map(Piece::Formula));
                }
            }
        }
        if all_read { assembled(pieces) } else { unread() }
    }

    /// Compiles an expression that stands without the marks of a template.
    pub(crate) fn bare(&mut self, text: &str, at: Range<usize>, check: Check<'_>) -> Option<Formula> {
        if text.contains(OPEN) {
            let problem = self.source.diagnose(Some(at), "a bare expression is expected here, not a template");
            let inner = text.replace(OPEN, "").replace("}}", "");
            self.problems.push(problem.with_hint(format!("write it without the marks: {}", inner.trim())));
            return None;
        }
        self.formula(text, at, check).map(|formula| Formula { is_bare: true, ..formula })
    }

    fn formula(&mut self, text: &str, at: Range<usize>, check: Check<'_>) -> Option<Formula> {
        let text = text.trim();
        if text.len() > LONGEST {
            let message = format!("this expression is too long: {} bytes, and the most is {LONGEST}", text.len());
            let problem = self.source.diagnose(Some(at), message);
            self.problems.push(problem.with_hint("compute it in several steps"));
            return None;
        }
        let (expression, names) = match roomy(links(text), || read(text)).flatten() {
            Ok(read) => read,
            Err(detail) => {
                let problem = self.source.diagnose(Some(at), format!("this expression cannot be read: {detail}"));
                self.problems
                    .push(problem.with_hint("expressions are those of Jinja, such as `steps.clean | length > 80`"));
                return None;
            }
        };
        if let Some((why, hint)) = endless(text) {
            let problem = self.source.diagnose(Some(at), format!("this expression {why}"));
            self.problems.push(problem.with_hint(hint));
            return None;
        }
        let unknown = unknown(text);
        if !unknown.is_empty() {
            unknown.into_iter().for_each(|unknown| self.unknown(text, &at, unknown));
            return None;
        }
        let mut tested = Tested::default();
        tested.add(text);
        for name in super::names(&names) {
            if let Some(complaint) = check(name) {
                let written = self.source.text().get(at.clone()).and_then(|written| name_in(written, name));
                let place = written.map_or_else(|| at.clone(), |place| at.start + place.start..at.start + place.end);
                let problem = self.source.diagnose(Some(place), complaint.message.as_str());
                self.complain(problem, name, complaint, &tested);
            }
        }
        Some(Formula { text: Arc::from(text), links: links(text), expression, names, is_bare: false })
    }

    /// Notes what is wrong with a name: a field that cannot be there is no error where it is only asked for.
    pub(super) fn complain(&mut self, problem: Diagnostic, name: &str, complaint: Complaint, tested: &Tested) {
        let problem = problem.with_hint(complaint.hint);
        match complaint.lacks.map_or(Lack::Fails, |lacks| tested.lack(&lacks, name)) {
            Lack::Fails => self.problems.push(problem),
            Lack::IsAsked => self.warnings.push(problem.warning()),
            Lack::IsAvoided => {}
        }
    }

    fn unknown(&mut self, text: &str, at: &Range<usize>, unknown: Unknown<'_>) {
        // YAML escapes in the expression move its parts: then the caret is under the whole.
        let place = match self.source.text().get(at.clone()) {
            Some(written) if written == text => at.start + unknown.at..at.start + unknown.at + unknown.word.len(),
            _ => at.clone(),
        };
        let problem = self.source.diagnose(Some(place), unknown.complaint.message);
        self.problems.push(problem.with_hint(unknown.complaint.hint));
    }

    /// Where `text` stands within a part of the file; not found if YAML escapes hide it.
    fn find(&self, text: &str, within: &Range<usize>) -> Option<Range<usize>> {
        let text = text.trim();
        let start = within.start + self.source.text().get(within.clone())?.find(text)?;
        Some(start..start + text.len())
    }
}

/// Where a name such as `steps.a` stands in an expression, and not as the beginning of a longer one.
pub(super) fn name_in(text: &str, name: &str) -> Option<Range<usize>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |start: &usize| {
        let (before, behind) = (&text[..*start], &text[start + name.len()..]);
        !before.ends_with(|c| is_part(c) || c == '.') && !behind.starts_with(is_part)
    };
    let start = text.match_indices(name).map(|(start, _)| start).find(alone)?;
    Some(start..start + name.len())
}

/// What stands in for a value that cannot be read: it may be anything, so that nothing else is said about it.
fn unread() -> Template {
    let none = "none".to_owned();
    let text = Arc::from(none.as_str());
    match LANGUAGE.compile_expression_owned(none) {
        Ok(expression) => Template::Lone(Formula { text, links: 0, expression, names: Vec::new(), is_bare: false }),
        Err(_) => Template::Plain(Value::Null),
    }
}

/// White space around a lone expression does not make it text.
fn assembled(mut pieces: Vec<Piece>) -> Template {
    let blank = |piece: &Piece| matches!(piece, Piece::Text(text) if text.trim().is_empty());
    let rest: Vec<&Piece> = pieces.iter().filter(|piece| !blank(piece)).collect();
    if let [Piece::Formula(_)] = rest[..] {
        pieces.retain(|piece| !blank(piece));
    }
    match (pieces.pop(), pieces.is_empty()) {
        (None, _) => Template::Plain(Value::String(String::new())),
        (Some(Piece::Text(text)), true) => Template::Plain(Value::String(text)),
        (Some(Piece::Formula(formula)), true) => Template::Lone(formula),
        (Some(last), false) => {
            pieces.push(last);
            Template::Text(pieces)
        }
    }
}
