//! Templates from a record or a model: text with `{{ … }}`, `{% if … %}`, `{% for … %}` and comments.
//!
//! They are rendered by the engine of prompt files, with fewer statements and tighter bounds: `set`, `macro` and `filter`
//! could make a short text compute without end or fill the memory. Operators of the engine have no bound on their values,
//! so that each expression passes through the filter [`CHECK`], which is written behind it before the text is compiled.

mod translate;

use std::sync::{Arc, Mutex, PoisonError};

use llmspell::{Error, ErrorKind, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, State, Value};
use serde_json::{Map, Value as Json};
use translate::{Translated, translate};

use super::bounded::reset_produced;
use super::bounded_writer::BoundedWriter;
use super::describe;
use super::json::json;
use super::large_stack::with_stack_for;
use super::prompt_file::STATEMENTS;

/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 256 << 10;

/// The most bytes of the output, and of each value in it.
const MAX_OUTPUT: usize = 16 << 20;

/// The most instructions of a template. An expression or an item of a loop takes ten to twenty.
const FUEL: u64 = 2_000_000;

/// The filter that checks the value of each expression. A template cannot name it.
const CHECK: &str = "__check";

/// The name of the text in its own environment.
const TEMPLATE_NAME: &str = "template";

/// An expression of the template.
struct BoundExpr {
    text: String,
    line: usize,
    /// The number of names that a `for` binds to each item; `None` for other expressions.
    bindings: Option<usize>,
}

/// Renders a template with these values; fails with [`ErrorKind::Cancelled`] once `stop` returns true.
pub(crate) fn render_restricted(
    text: &str,
    values: &Map<String, Json>,
    stop: impl Fn() -> bool + Send + Sync + 'static,
) -> Result<String> {
    if text.len() > MAX_TEMPLATE {
        let error = Error::invalid(format!("the template is longer than {} KiB", MAX_TEMPLATE >> 10));
        return Err(error.with_hint("move its constant text into another step"));
    }
    let bytes = values.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>();
    if bytes > MAX_OUTPUT {
        return Err(too_large("the values take"));
    }
    let Translated { source, exprs, positions, depth } = translate(text)?;
    let exprs = Arc::new(exprs);
    let failure = Arc::new(Mutex::new(None));
    let language = language(exprs.clone(), failure.clone(), stop);
    let mut output = BoundedWriter::new(MAX_OUTPUT);
    let rendered = with_stack_for(depth, || {
        let mut language = language;
        language.add_template_owned(TEMPLATE_NAME, source).map_err(|error| invalid_syntax(&error))?;
        let template = language.get_template(TEMPLATE_NAME).map_err(|error| invalid_syntax(&error))?;
        let rendered = template.render_captured_to(Value::from(Serde(values)), &mut output).map(drop);
        rendered.map_err(|error| evaluation_error(&error, &exprs, &positions))
    });
    if let Some(error) = failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    if output.is_full {
        return Err(too_large("the output takes"));
    }
    rendered.map_err(Error::invalid)??;
    String::from_utf8(output.bytes)
        .map_err(|error| Error::invalid("the output is not UTF-8 text").with_source(error.utf8_error()))
}

/// Returns the language of prompt files, with white space as it stands and the filter that checks values.
///
/// The error of the filter is left in `failure`, because the engine has its own error type without kinds and hints.
fn language(
    exprs: Arc<Vec<BoundExpr>>,
    failure: Arc<Mutex<Option<Error>>>,
    stop: impl Fn() -> bool + Send + Sync + 'static,
) -> Environment<'static> {
    let mut language = STATEMENTS.clone();
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        language.set_syntax(syntax);
    }
    language.set_fuel(Some(FUEL));
    language.add_filter(CHECK, move |state: &mut State<'_, '_>, value: Value, index: usize| {
        reset_produced(state);
        let checked = match exprs.get(index) {
            _ if stop() => Err(Error::new(ErrorKind::Cancelled, "cancelled while the template was rendered")),
            Some(expr) => expr.check(&value),
            None => Err(Error::failed("the template has an unknown expression")),
        };
        checked.map_err(|error| {
            let message = error.message().to_owned();
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message)
        })
    });
    language
}

impl BoundExpr {
    /// Returns the value as JSON within its bound; for a loop, the list of its items.
    fn check(&self, value: &Value) -> Result<Value> {
        if value.is_undefined() {
            return Err(self.undefined());
        }
        let value = json(value).map_err(|why| self.error(&why))?;
        if size(&value) > MAX_OUTPUT {
            return Err(too_large(&format!("line {}: `{}` takes", self.line, self.text)));
        }
        let Some(bindings) = self.bindings else { return Ok(Value::from(Serde(value))) };
        let is_pair = |item: &Json| item.as_array().is_some_and(|pair| pair.len() == bindings);
        let items: Json = match value {
            Json::Array(items) if bindings > 1 && !items.iter().all(is_pair) => {
                return Err(self.error(&format!("does not give lists of {bindings}")));
            }
            Json::Array(items) => items.into(),
            Json::Object(fields) if bindings == 1 => fields.into_iter().map(|(name, _)| Json::String(name)).collect(),
            Json::Object(fields) => {
                fields.into_iter().map(|(name, value)| Json::from(vec![name.into(), value])).collect()
            }
            _ => {
                let error = self.error("is neither a list nor a table");
                return Err(error.with_hint("give `for` a list or a table"));
            }
        };
        Ok(Value::from(Serde(items)))
    }

    fn error(&self, why: &str) -> Error {
        Error::invalid(format!("line {}: `{}` {why}", self.line, self.text))
    }

    fn undefined(&self) -> Error {
        self.error("is undefined").with_hint("give it under `values`, or a default: `{{ x | default(\"\") }}`")
    }
}

/// Returns the error for a template that the engine rejects.
fn invalid_syntax(error: &minijinja::Error) -> Error {
    let line = error.line().unwrap_or(1);
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Error::invalid(format!("line {line} of the template: {detail}")).with_hint("correct the template at this line")
}

/// Returns the error of the engine with the expression at whose position it happened.
fn evaluation_error(error: &minijinja::Error, exprs: &[BoundExpr], positions: &[usize]) -> Error {
    if error.kind() == minijinja::ErrorKind::OutOfFuel {
        let error = Error::invalid(format!("the template takes more than {FUEL} instructions"));
        return error.with_hint("shorten its lists, or split it into several steps");
    }
    let why = describe(error);
    let at = error.range().map_or(0, |range| range.start);
    let expr = positions.partition_point(|position| *position <= at).checked_sub(1).and_then(|index| exprs.get(index));
    match (expr, error.kind()) {
        (Some(expr), minijinja::ErrorKind::UndefinedError) => expr.undefined(),
        (Some(expr), _) => expr.error(&format!("cannot be computed: {why}")),
        (None, _) => Error::invalid(format!("the template cannot be rendered: {why}")),
    }
}

fn too_large(what: &str) -> Error {
    Error::invalid(format!("{what} more than {} MiB", MAX_OUTPUT >> 20)).with_hint("split it into several steps")
}

/// Returns the approximate bytes of a value.
fn size(value: &Json) -> usize {
    let content = match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(fields) => fields.iter().map(|(name, value)| name.len() + size(value)).sum(),
        _ => 0,
    };
    content + size_of::<Json>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> Result<String> {
        let values = serde_json::json!({ "a": 1, "pairs": [["x", 2]], "loop": "l", "text": "{{ a }}" });
        render_restricted(text, values.as_object().unwrap(), || false)
    }

    #[test]
    fn cancelled_templates_stop() {
        let error = render_restricted("{{ 1 }}", &Map::new(), || true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(render_restricted("text", &Map::new(), || true).is_ok());
    }

    #[test]
    fn tags_keep_their_meaning_and_lines() {
        for (text, wanted) in [
            (" {{-a-}} {{ -a }} {{- -a -}} ", "1-1-1"),
            ("{%- if a -%}\n x {%- endif -%}\n", "x"),
            ("{%+ if a %} x{% endif %}\n", " x\n"),
            ("{% for k, v in pairs %}{{ k }}{{ v }}{% endfor %}", "x2"),
            ("{{ loop }}{{ text }}{{ ')|upper' }}", "l{{ a }})|upper"),
            ("{#{{ a }}#}{ { a } }", "{ { a } }"),
        ] {
            assert_eq!(render(text).unwrap(), wanted, "{text}");
        }
        let error = render("{{\n\na }}\n{{ a.b.c }}").unwrap_err();
        assert!(error.message().starts_with("line 4: `a.b.c`"), "{error}");
    }

    #[test]
    fn tags_cannot_leave_their_expression() {
        for text in [
            "{{ a) }}{% set b = 1 %}{{ (a }}",
            "{{ a)|__check(0 }}",
            "{{ a | __check(0) }}",
            "{%$ if a %}{% endif %}",
            "{% raw %}{% set b = 1 %}{% endraw %}",
            "{% filter upper %}x{% endfilter %}",
            "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            "{% with b = 1 %}{% endwith %}",
        ] {
            assert_eq!(render(text).unwrap_err().kind(), ErrorKind::Invalid, "{text}");
        }
    }
}
