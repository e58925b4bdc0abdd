//! Compiles values of a flow file to templates, and reports every problem that is known before the first record.

use std::ops::Range;
use std::sync::Arc;

use minijinja::Expression;
use serde_json::Value;

use super::guarded_names::{GuardedNames, MissingField};
use super::known_names::{UnknownName, unknown};
use super::language::LANGUAGE;
use super::large_stack::{MAX_EXPR_BYTES, depth_estimate, with_stack_for};
use super::operators::unbounded_work;
use super::scan::{OPEN, RawSegment, scan};
use super::{Expr, Segment, Template};
use crate::syntax::diagnostic::Diagnostic;
use crate::syntax::located::Located;
use crate::syntax::node::Node;
use crate::syntax::source::Source;

/// A compiled expression and the names that it uses, or a syntax error.
type ParsedExpr = std::result::Result<(Expression<'static, 'static>, Vec<String>), String>;

fn parse(text: &str) -> ParsedExpr {
    let expression = LANGUAGE
        .compile_expression_owned(text.to_owned())
        .map_err(|error| error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))?;
    let mut names: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
    names.sort();
    Ok((expression, names))
}

/// Compiles the templates of a file and collects their problems.
pub(crate) struct Compiler<'a> {
    pub(crate) source: &'a Source,
    pub(crate) problems: Vec<Diagnostic>,
    /// Findings about expressions that can be computed, but hardly mean what they say.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Checks a name that an expression uses, such as `steps.clean.text`, and returns its problem if there is one.
pub(crate) type Check<'a> = &'a dyn Fn(&str) -> Option<NameProblem>;

/// A problem with a name, and how to fix it.
pub(crate) struct NameProblem {
    pub(crate) message: String,
    pub(crate) hint: String,
    /// The name of a field that cannot be there, if that is the problem. An expression may still test for it.
    pub(crate) lacks: Option<String>,
}

impl NameProblem {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        NameProblem { message: message.into(), hint: hint.into(), lacks: None }
    }
}

impl<'a> Compiler<'a> {
    /// Creates a compiler that adds to these problems.
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
                Template::List(items).fold_constants()
            }
            Node::Map(entries) => {
                let entries = entries.0.iter();
                for (key, _) in entries.clone().filter(|(key, _)| key.value.contains(OPEN)) {
                    let diagnostic = self.source.diagnose(Some(key.at.clone()), "a template cannot be a key");
                    let hint = "make the table in an expression: `${{ dict([[inputs.key, inputs.value]]) }}`";
                    self.problems.push(diagnostic.with_hint(hint));
                }
                let entries: Vec<_> =
                    entries.map(|(key, value)| (key.value.clone(), self.compile(value.as_ref(), check))).collect();
                Template::Map(entries).fold_constants()
            }
        }
    }

    fn text(&mut self, text: &str, at: Range<usize>, check: Check<'_>) -> Template {
        let raw_segments = match scan(text) {
            Ok(raw_segments) => raw_segments,
            Err(error) => {
                let at = self.find(error.near, &at).unwrap_or(at);
                self.problems.push(self.source.diagnose(Some(at), error.message).with_hint(error.hint));
                return unreadable();
            }
        };
        let (mut segments, mut all_read) = (Vec::new(), true);
        let mut searched = at.clone();
        for raw_segment in raw_segments {
            match raw_segment {
                RawSegment::Text(text) => segments.push(Segment::Text(text.to_owned())),
                RawSegment::Expression(expression) => {
                    let place = self.find(expression, &searched).unwrap_or_else(|| at.clone());
                    searched.start = place.end.min(searched.end);
                    let expr = self.expr(expression, place, check);
                    all_read &= expr.is_some();
                    segments.extend(expr.map(Segment::Expr));
                }
            }
        }
        if all_read { from_segments(segments) } else { unreadable() }
    }

    /// Compiles an expression that stands without the marks of a template.
    pub(crate) fn bare(&mut self, text: &str, at: Range<usize>, check: Check<'_>) -> Option<Expr> {
        if text.contains(OPEN) {
            let diagnostic = self.source.diagnose(Some(at), "a bare expression is expected here, not a template");
            let inner = text.replace(OPEN, "").replace("}}", "");
            self.problems.push(diagnostic.with_hint(format!("write it without the marks: {}", inner.trim())));
            return None;
        }
        self.expr(text, at, check).map(|expr| Expr { is_bare: true, ..expr })
    }

    fn expr(&mut self, text: &str, at: Range<usize>, check: Check<'_>) -> Option<Expr> {
        let text = text.trim();
        if text.len() > MAX_EXPR_BYTES {
            let message =
                format!("this expression is too long: {} bytes, and the most is {MAX_EXPR_BYTES}", text.len());
            let diagnostic = self.source.diagnose(Some(at), message);
            self.problems.push(diagnostic.with_hint("compute it in several steps"));
            return None;
        }
        let (expression, names) = match with_stack_for(depth_estimate(text), || parse(text)).flatten() {
            Ok(parse) => parse,
            Err(detail) => {
                let diagnostic = self.source.diagnose(Some(at), format!("this expression cannot be read: {detail}"));
                self.problems
                    .push(diagnostic.with_hint("expressions are those of Jinja, such as `steps.clean | length > 80`"));
                return None;
            }
        };
        if let Some((why, hint)) = unbounded_work(text) {
            let diagnostic = self.source.diagnose(Some(at), format!("this expression {why}"));
            self.problems.push(diagnostic.with_hint(hint));
            return None;
        }
        let unknown = unknown(text);
        if !unknown.is_empty() {
            unknown.into_iter().for_each(|unknown| self.unknown(text, &at, unknown));
            return None;
        }
        let mut guarded = GuardedNames::default();
        guarded.add(text);
        for name in super::names(&names) {
            if let Some(name_problem) = check(name) {
                let written = self.source.text().get(at.clone()).and_then(|written| name_in(written, name));
                let place = written.map_or_else(|| at.clone(), |place| at.start + place.start..at.start + place.end);
                let diagnostic = self.source.diagnose(Some(place), name_problem.message.as_str());
                self.report_name(diagnostic, name, name_problem, &guarded);
            }
        }
        Some(Expr { text: Arc::from(text), depth_estimate: depth_estimate(text), expression, names, is_bare: false })
    }

    /// Reports a problem with a name. A missing field is not an error where the expression only tests for it.
    pub(super) fn report_name(
        &mut self,
        diagnostic: Diagnostic,
        name: &str,
        name_problem: NameProblem,
        guarded: &GuardedNames,
    ) {
        let diagnostic = diagnostic.with_hint(name_problem.hint);
        match name_problem.lacks.map_or(MissingField::Fails, |lacks| guarded.missing_field(&lacks, name)) {
            MissingField::Fails => self.problems.push(diagnostic),
            MissingField::Tested => self.warnings.push(diagnostic.warning()),
            MissingField::Avoided => {}
        }
    }

    fn unknown(&mut self, text: &str, at: &Range<usize>, unknown: UnknownName<'_>) {
        // YAML escapes in the expression shift positions. The caret is then under the whole expression.
        let place = match self.source.text().get(at.clone()) {
            Some(written) if written == text => at.start + unknown.at..at.start + unknown.at + unknown.word.len(),
            _ => at.clone(),
        };
        let diagnostic = self.source.diagnose(Some(place), unknown.name_problem.message);
        self.problems.push(diagnostic.with_hint(unknown.name_problem.hint));
    }

    /// Returns the position of `text` within a part of the file; `None` if YAML escapes hide it.
    fn find(&self, text: &str, within: &Range<usize>) -> Option<Range<usize>> {
        let text = text.trim();
        let start = within.start + self.source.text().get(within.clone())?.find(text)?;
        Some(start..start + text.len())
    }
}

/// Returns the position of a name such as `steps.a` in an expression, unless it is only the beginning of a longer one.
pub(super) fn name_in(text: &str, name: &str) -> Option<Range<usize>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let is_whole_name = |start: &usize| {
        let (before, behind) = (&text[..*start], &text[start + name.len()..]);
        !before.ends_with(|c| is_part(c) || c == '.') && !behind.starts_with(is_part)
    };
    let start = text.match_indices(name).map(|(start, _)| start).find(is_whole_name)?;
    Some(start..start + name.len())
}

/// Stands in for a value that cannot be parsed. It may be anything, so that no further problem is reported about it.
fn unreadable() -> Template {
    let none = "none".to_owned();
    let text = Arc::from(none.as_str());
    match LANGUAGE.compile_expression_owned(none) {
        Ok(expression) => {
            Template::Single(Expr { text, depth_estimate: 0, expression, names: Vec::new(), is_bare: false })
        }
        Err(_) => Template::Plain(Value::Null),
    }
}

/// White space around a single expression does not make it text.
fn from_segments(mut segments: Vec<Segment>) -> Template {
    let blank = |segment: &Segment| matches!(segment, Segment::Text(text) if text.trim().is_empty());
    let rest: Vec<&Segment> = segments.iter().filter(|segment| !blank(segment)).collect();
    if let [Segment::Expr(_)] = rest[..] {
        segments.retain(|segment| !blank(segment));
    }
    match (segments.pop(), segments.is_empty()) {
        (None, _) => Template::Plain(Value::String(String::new())),
        (Some(Segment::Text(text)), true) => Template::Plain(Value::String(text)),
        (Some(Segment::Expr(expr)), true) => Template::Single(expr),
        (Some(last), false) => {
            segments.push(last);
            Template::Text(segments)
        }
    }
}
