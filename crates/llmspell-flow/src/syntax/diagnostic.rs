//! Diagnostics: problems in a flow file, with the line, a caret under the value, and a hint.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// One problem in a flow file.
///
/// ```text
/// error: unknown tool `http_gte`
///  --> triage.yaml:9:11
///   |
/// 9 |     tool: http_gte
///   |           ^^^^^^^^
///   |
/// hint: did you mean `http_get`?
/// ```
///
/// Its [`Display`](fmt::Display) is plain text of at most 80 columns, unless a message or a hint is longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    rule: Option<&'static str>,
    source: Arc<str>,
    /// Boxed, because problems travel in results.
    location: Option<Box<Location>>,
    message: String,
    hint: Option<String>,
}

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    /// The flow cannot run.
    Error,
    /// The flow can run, but does something that is probably a mistake.
    Warning,
}

/// A range within one line. It keeps that line only, so that a diagnostic does not hold or scan the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Location {
    line: usize,
    column: usize,
    text: String,
    /// The underlined bytes of the line.
    span: Range<usize>,
}

/// Source lines are cut to this width around the caret.
const WIDTH: usize = 80;

impl Location {
    fn new(text: &str, at: Range<usize>) -> Self {
        let start = floor(text, at.start);
        let end = floor(text, at.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let marked = text[start..end.min(line_end)].trim_end().len();
        let from = (start - line_start).min(line.len());
        Location {
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            text: line.to_owned(),
            span: from..(from + marked).min(line.len()),
        }
    }
}

/// Returns the nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|offset| text.is_char_boundary(*offset)).unwrap_or(0)
}

impl Diagnostic {
    /// Creates an error at a range of a text; `None` stands for the whole text.
    pub(super) fn new(name: Arc<str>, text: &str, at: Option<Range<usize>>, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            rule: None,
            source: name,
            location: at.map(|at| Box::new(Location::new(text, at))),
            message: message.into(),
            hint: None,
        }
    }

    /// Sets the hint: one action that solves the problem.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Turns the diagnostic into a warning: the flow can still be used.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Sets the id of the lint rule that found the problem.
    pub(crate) fn with_rule(mut self, id: &'static str) -> Self {
        self.rule = Some(id);
        self
    }

    /// Returns the message, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the hint, if there is one.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the id of the lint rule that found the problem, such as `unused-step`; see
    /// [`LINT_RULES`](crate::LINT_RULES).
    pub fn rule(&self) -> Option<&'static str> {
        self.rule
    }

    /// Returns the line, from 1, if the problem has a position.
    pub fn line(&self) -> Option<usize> {
        self.location.as_ref().map(|location| location.line)
    }

    /// Returns the column in characters, from 1, if the problem has a position.
    pub fn column(&self) -> Option<usize> {
        self.location.as_ref().map(|location| location.column)
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&self.message);
        let title = self.rule.into_iter().fold(title, |title, rule| title.id(rule));
        let problem = match &self.location {
            None => title.element(Origin::path(&*self.source)),
            Some(location) => title.element(
                Snippet::source(&location.text)
                    .line_start(location.line)
                    .path(&*self.source)
                    .annotation(AnnotationKind::Primary.span(location.span.clone())),
            ),
        };
        let hint = self.hint.iter().map(|hint| Group::with_title(Level::HELP.with_name("hint").secondary_title(hint)));
        renderer.render(&std::iter::once(problem).chain(hint).collect::<Vec<_>>())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain().term_width(WIDTH)))
    }
}

/// All problems of a flow file; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Returns `Ok` if there are no problems.
    pub(crate) fn none_of(mut problems: Vec<Diagnostic>) -> Result<(), Self> {
        problems.sort_by_key(|problem| (problem.line(), problem.column()));
        // A problem under `defaults` is found again with each step.
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(Diagnostics(problems)) }
    }

    /// Returns the problems, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(problem: Diagnostic) -> Self {
        Diagnostics(vec![problem])
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    /// Collects the problems of one file or of several; there should be at least one.
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(problems: I) -> Self {
        Diagnostics(problems.into_iter().collect())
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use crate::syntax::source::Source;

    #[test]
    fn a_problem_shows_its_line_with_a_caret() {
        let source = Source::new("a.yaml", "flow: ä\nsteps:\n  - tool: txet\n");
        let at = source.text().find("txet").map(|start| start..start + 4);
        let problem = source.diagnose(at, "unknown tool `txet`").with_hint("did you mean `text`?");
        assert_eq!(
            problem.to_string(),
            "error: unknown tool `txet`\n --> a.yaml:3:11\n  |\n3 |   - tool: txet\n  |           ^^^^\n  |\n\
             hint: did you mean `text`?"
        );
        assert_eq!(source.diagnose(None, "odd").to_string(), "error: odd\n--> a.yaml");
        let ruled = source.diagnose(Some(0..4), "odd").warning().with_rule("odd-key").to_string();
        assert!(ruled.starts_with("warning[odd-key]: odd\n --> a.yaml:1:1\n"), "{ruled}");
    }

    #[test]
    fn ranges_outside_the_text_and_inside_a_character_are_accepted() {
        let source = Source::new("a.yaml", "ä\r\n");
        for at in [0..1, 1..2, 2..9, 99..100] {
            let shown = source.diagnose(Some(at), "odd").to_string();
            assert!(shown.contains("a.yaml:") && shown.contains('^'), "{shown}");
        }
        let long = Source::new("a.yaml", "x".repeat(5000));
        let shown = long.diagnose(Some(4000..4990), "long").to_string();
        assert!(shown.contains("a.yaml:1:4001") && shown.contains('^'), "{shown}");
        assert!(shown.lines().all(|line| line.len() < 120), "{shown}");
        let far = long.diagnose(Some(4000..4003), "far").to_string();
        assert!(far.contains("^^^") && far.lines().all(|line| line.len() <= 80), "{far}");
    }
}
