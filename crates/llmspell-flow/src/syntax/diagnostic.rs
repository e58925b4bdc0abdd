//! What is wrong with a flow file, and where: the line, a caret under it, and what to do.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::syntax::source::Source;

/// One problem in a flow file.
///
/// ```text
/// error: unknown tool `http_gte`
///   --> triage.yaml:9:11
///    |
///  9 |     tool: http_gte
///    |           ^^^^^^^^
///
/// hint: did you mean `http_get`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    source: Arc<str>,
    place: Option<Place>,
    message: String,
    hint: Option<String>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    /// The flow cannot run.
    Error,
    /// The flow can run, but does something that nobody can want.
    Warning,
}

/// A part of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    text: String,
    /// How many characters the caret underlines.
    width: usize,
}

/// What is shown of a line, in characters; a longer one is cut around the place.
const SHOWN: usize = 100;

impl Place {
    fn of(text: &str, at: Range<usize>) -> Self {
        let start = floor(text, at.start);
        let end = floor(text, at.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let column = text[line_start..start].chars().count();
        Place {
            line: text[..start].matches('\n').count() + 1,
            column: column + 1,
            text: line.to_owned(),
            width: text[start..end.min(line_end)].trim_end().chars().count().max(1),
        }
    }

    /// The part of the line to show, and where the caret begins in it.
    fn excerpt(&self) -> (String, usize) {
        let skipped = if self.text.chars().count() <= SHOWN { 0 } else { self.column.saturating_sub(SHOWN / 2) };
        // A tab is as wide as the terminal likes: one space keeps the caret where it belongs.
        let shown = self.text.chars().skip(skipped).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        (shown, self.column - 1 - skipped)
    }
}

/// The nearest boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0)
}

impl Diagnostic {
    /// A problem at a part of a text; none if it concerns the text as a whole.
    pub(crate) fn new(source: &Source, at: Option<Range<usize>>, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            source: source.shared_name(),
            place: at.map(|at| Place::of(source.text(), at)),
            message: message.into(),
            hint: None,
        }
    }

    /// Says what to do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same as a warning: the flow can be used all the same.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, if something is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The line, from 1, if the problem has a place.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }

    /// The column in characters, from 1, if the problem has a place.
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.column)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", self.message)?;
        match &self.place {
            None => write!(f, "  --> {}", self.source)?,
            Some(place) => {
                let margin = place.line.to_string().len();
                let (shown, before) = place.excerpt();
                let width = place.width.min(SHOWN.saturating_sub(before)).max(1);
                writeln!(f, "{:margin$} --> {}:{}:{}", "", self.source, place.line, place.column)?;
                writeln!(f, "{:margin$}  |", "")?;
                writeln!(f, " {} | {shown}", place.line)?;
                write!(f, "{:margin$}  | {:before$}{}", "", "", "^".repeat(width))?;
            }
        }
        match &self.hint {
            Some(hint) => write!(f, "\n\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a flow file; at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// `Ok` if there is nothing wrong.
    pub(crate) fn none_of(mut problems: Vec<Diagnostic>) -> Result<(), Self> {
        problems.sort_by_key(|problem| (problem.line(), problem.column()));
        // What stands under `defaults` is met at each step.
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(Diagnostics(problems)) }
    }

    /// The problems, in the order of the file.
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
    /// Those of one file or of several; there should be one at least.
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
    use super::*;

    #[test]
    fn a_problem_shows_its_line_with_a_caret() {
        let source = Source::new("a.yaml", "flow: ä\nsteps:\n  - tool: txet\n");
        let at = source.text().find("txet").map(|start| start..start + 4);
        let problem = source.diagnose(at, "unknown tool `txet`").with_hint("did you mean `text`?");
        assert_eq!(
            problem.to_string(),
            "error: unknown tool `txet`\n  --> a.yaml:3:11\n   |\n 3 |   - tool: txet\n   |           ^^^^\n\n\
             hint: did you mean `text`?"
        );
    }

    #[test]
    fn places_outside_of_the_text_and_inside_of_a_character_are_shown_somewhere() {
        let source = Source::new("a.yaml", "ä\r\n");
        for at in [0..1, 1..2, 2..9, 99..100] {
            let shown = source.diagnose(Some(at), "odd").to_string();
            assert!(shown.contains("a.yaml:"), "{shown}");
        }
        let long = Source::new("a.yaml", "x".repeat(5000));
        assert!(long.diagnose(Some(4000..4990), "long").to_string().lines().all(|line| line.len() < 120));
    }
}
