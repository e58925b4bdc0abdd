//! Templates: `${{ inputs.question }}` in the values of a flow file.
//!
//! A value is rendered once, and what comes out is data: output that looks like a template stays text. A
//! lone `${{ x }}` keeps its type; among other text, anything that is not text is written as JSON.

mod scan;

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use llmspell::{Error, Result};
use minijinja::{Environment, Expression, UndefinedBehavior};
use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Source};
use crate::located::Located;
use crate::node::Node;
use scan::{Part, scan};

/// How much one expression may compute. A few hundred is usual; this stops loops over `range`.
const FUEL: u64 = 100_000;

/// The language of expressions; it has no state.
static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut language = Environment::new();
    language.set_undefined_behavior(UndefinedBehavior::Strict);
    language.set_fuel(Some(FUEL));
    language.remove_global("debug");
    language
});

/// A value of a flow file, ready to be rendered.
pub(crate) enum Template {
    /// No template in it.
    Plain(Value),
    /// A lone expression.
    Lone(Formula),
    /// Text with expressions in it.
    Text(Vec<Piece>),
    List(Vec<Template>),
    Map(Vec<(String, Template)>),
}

pub(crate) enum Piece {
    Text(String),
    Formula(Formula),
}

/// A compiled expression.
pub(crate) struct Formula {
    text: Arc<str>,
    expression: Expression<'static, 'static>,
}

/// Compiles the templates of a file, and keeps what is wrong with them.
pub(crate) struct Compiler<'a> {
    pub(crate) source: &'a Source,
    pub(crate) problems: Vec<Diagnostic>,
}

impl Compiler<'_> {
    /// Compiles a value. `check` looks at each name that an expression uses, such as `steps.clean`, and says
    /// what is wrong with it: message and hint.
    pub(crate) fn compile(
        &mut self,
        node: Located<&Node>,
        check: &dyn Fn(&str) -> Option<(String, String)>,
    ) -> Template {
        match node.value {
            Node::Plain(value) => Template::Plain(value.clone()),
            Node::Text(text) => self.text(text, node.at, check),
            Node::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.compile(item.as_ref(), check)).collect();
                Template::List(items).settled()
            }
            Node::Map(entries) => {
                let entries = entries.0.iter();
                let entries: Vec<_> =
                    entries.map(|(key, value)| (key.value.clone(), self.compile(value.as_ref(), check))).collect();
                Template::Map(entries).settled()
            }
        }
    }

    fn text(&mut self, text: &str, at: Range<usize>, check: &dyn Fn(&str) -> Option<(String, String)>) -> Template {
        let parts = match scan(text) {
            Ok(parts) => parts,
            Err(wrong) => {
                let at = self.find(wrong.near, &at).unwrap_or(at);
                self.problems.push(self.source.diagnose(Some(at), wrong.message).with_hint(wrong.hint));
                return Template::Plain(Value::Null);
            }
        };
        let lone = parts.iter().all(|part| !matches!(part, Part::Text(text) if !text.trim().is_empty()))
            && parts.iter().filter(|part| matches!(part, Part::Expression(_))).count() == 1;
        let mut pieces = Vec::new();
        let mut searched = at.clone();
        for part in parts {
            match part {
                Part::Text(text) => pieces.push(Piece::Text(text.to_owned())),
                Part::Expression(expression) => {
                    let place = self.find(expression, &searched).unwrap_or_else(|| at.clone());
                    searched.start = place.end.min(searched.end);
                    pieces.extend(self.formula(expression, place, check).map(Piece::Formula));
                }
            }
        }
        if lone {
            pieces.retain(|piece| matches!(piece, Piece::Formula(_)));
        }
        match pieces.pop() {
            None => Template::Plain(Value::String(String::new())),
            Some(Piece::Text(text)) if pieces.is_empty() => Template::Plain(Value::String(text)),
            Some(Piece::Formula(formula)) if lone => Template::Lone(formula),
            Some(last) => {
                pieces.push(last);
                Template::Text(pieces)
            }
        }
    }

    fn formula(
        &mut self,
        text: &str,
        at: Range<usize>,
        check: &dyn Fn(&str) -> Option<(String, String)>,
    ) -> Option<Formula> {
        let text = text.trim();
        let expression = match LANGUAGE.compile_expression_owned(text.to_owned()) {
            Ok(expression) => expression,
            Err(error) => {
                let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
                let problem = self.source.diagnose(Some(at), format!("this expression cannot be read: {detail}"));
                self.problems
                    .push(problem.with_hint("expressions are those of Jinja, such as `steps.clean | length > 80`"));
                return None;
            }
        };
        let mut names: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
        names.sort();
        for name in names {
            let root = name.split('.').next().unwrap_or_default();
            if LANGUAGE.globals().any(|(global, _)| global == root) {
                continue;
            }
            if let Some((message, hint)) = check(&name) {
                let place = self.find(&name, &at).unwrap_or_else(|| at.clone());
                self.problems.push(self.source.diagnose(Some(place), message).with_hint(hint));
            }
        }
        Some(Formula { text: Arc::from(text), expression })
    }

    /// Where `text` stands within a part of the file; not found if YAML escapes hide it.
    fn find(&self, text: &str, within: &Range<usize>) -> Option<Range<usize>> {
        let text = text.trim();
        let start = within.start + self.source.text().get(within.clone())?.find(text)?;
        Some(start..start + text.len())
    }
}

impl Template {
    /// A template without expressions is a plain value: nothing is left to do at run time.
    fn settled(self) -> Self {
        match self {
            Template::List(items) if items.iter().all(|item| matches!(item, Template::Plain(_))) => {
                Template::Plain(items.into_iter().map(Template::unwrapped).collect())
            }
            Template::Map(entries) if entries.iter().all(|(_, value)| matches!(value, Template::Plain(_))) => {
                let entries = entries.into_iter().map(|(key, value)| (key, value.unwrapped()));
                Template::Plain(Value::Object(entries.collect()))
            }
            other => other,
        }
    }

    fn unwrapped(self) -> Value {
        match self {
            Template::Plain(value) => value,
            _ => Value::Null,
        }
    }

    /// The value as it stands in the file, if there is no template in it.
    pub(crate) fn literal(&self) -> Option<&Value> {
        match self {
            Template::Plain(value) => Some(value),
            _ => None,
        }
    }

    /// Renders the value for one record.
    pub(crate) fn render(&self, scope: &minijinja::Value) -> Result<Value> {
        match self {
            Template::Plain(value) => Ok(value.clone()),
            Template::Lone(formula) => formula.json(scope),
            Template::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(piece) => text.push_str(piece),
                        Piece::Formula(formula) => match formula.json(scope)? {
                            Value::String(value) => text.push_str(&value),
                            other => text.push_str(&other.to_string()),
                        },
                    }
                }
                Ok(Value::String(text))
            }
            Template::List(items) => items.iter().map(|item| item.render(scope)).collect(),
            Template::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| Ok((key.clone(), value.render(scope)?)));
                Ok(Value::Object(entries.collect::<Result<Map<_, _>>>()?))
            }
        }
    }
}

impl Formula {
    fn json(&self, scope: &minijinja::Value) -> Result<Value> {
        let value = self.expression.eval(scope.clone()).map_err(|error| self.failed(&error))?;
        if value.is_undefined() {
            let message = format!("`${{{{ {} }}}}` is undefined for this record", self.text);
            return Err(Error::invalid(message).with_hint("give it a default: `${{ x | default(\"\") }}`"));
        }
        serde_json::to_value(&value)
            .map_err(|error| Error::invalid(format!("`${{{{ {} }}}}` is no JSON value: {error}", self.text)))
    }

    fn failed(&self, error: &minijinja::Error) -> Error {
        let detail =
            error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
        let made = Error::invalid(format!("`${{{{ {} }}}}` cannot be computed: {detail}", self.text));
        match error.kind() {
            minijinja::ErrorKind::UndefinedError => made.with_hint("give it a default: `${{ x | default(\"\") }}`"),
            _ => made,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    fn render(text: &str) -> std::result::Result<Value, String> {
        let source = Source::new("t", text);
        let mut compiler = Compiler { source: &source, problems: Vec::new() };
        let node = Node::Text(text.to_owned());
        let template = compiler.compile(Located { value: &node, at: 0..text.len() }, &|_| None);
        if let Some(problem) = compiler.problems.pop() {
            return Err(problem.to_string());
        }
        let scope = context! { list => vec![1, 2], text => "a ${{ list }} b", none => (), n => 2.5 };
        template.render(&scope).map_err(|error| error.to_string())
    }

    #[test]
    fn a_lone_expression_keeps_its_type() {
        assert_eq!(render("${{ list }}"), Ok(serde_json::json!([1, 2])));
        assert_eq!(render(" ${{ n * 2 }}\n"), Ok(serde_json::json!(5.0)));
        assert_eq!(render("${{ none }}"), Ok(Value::Null));
        assert_eq!(render("n=${{ n }} ${{ list }}"), Ok("n=2.5 [1,2]".into()));
        assert_eq!(render("plain"), Ok("plain".into()));
        assert_eq!(render(""), Ok("".into()));
    }

    #[test]
    fn outputs_are_data() {
        assert_eq!(render("${{ text }}"), Ok("a ${{ list }} b".into()));
        assert_eq!(render("<${{ text }}>"), Ok("<a ${{ list }} b>".into()));
        assert_eq!(render("${{ '${{' }}"), Ok("${{".into()));
    }

    #[test]
    fn undefined_is_an_error_with_a_hint() {
        assert!(render("${{ nothing }}").unwrap_err().contains("undefined"));
        assert!(render("${{ text.nothing }}").unwrap_err().contains("undefined"));
        assert_eq!(render("${{ text.nothing | default('x') }}"), Ok("x".into()));
    }

    #[test]
    fn what_is_not_an_expression_is_refused() {
        for wrong in ["${{ a b }}", "${{ }}", "${{ a", "{% if x %}"] {
            assert!(render(wrong).unwrap_err().contains("hint: "), "{wrong}");
        }
    }

    #[test]
    fn an_expression_cannot_compute_for_ever() {
        assert!(render("${{ range(100000) | map('string') | join | length }}").is_ok());
        assert!(render("${{ 'x' * 100000000000 }}").is_err());
    }
}
