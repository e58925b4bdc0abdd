//! Templates: `${{ inputs.question }}` in the values of a flow file.
//!
//! A value is rendered once, and what comes out is data: output that looks like a template stays text. A
//! lone `${{ x }}` keeps its type; among other text, anything that is not text is written as JSON.

mod compile;
mod scan;

pub(crate) use compile::{Compiler, Complaint};

use std::sync::{Arc, LazyLock};

use llmspell::{Error, Result};
use minijinja::{Environment, Expression, UndefinedBehavior};
use serde_json::{Map, Value};

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
    use crate::diagnostic::Source;
    use crate::located::Located;
    use crate::node::Node;
    use minijinja::context;

    fn render(text: &str) -> std::result::Result<Value, String> {
        let source = Source::new("t", text);
        let mut compiler = Compiler::new(&source, Vec::new());
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
