//! Templates: `${{ inputs.question }}` in the values of a flow file, prompt files, and the texts of the tool
//! `template`.
//!
//! Owns the language of expressions with its bounds on memory, time and stack. It must not know steps or the tools
//! that use it.
//!
//! A value is rendered once, and the output is data: output that looks like a template stays text. A single `${{ x }}`
//! keeps its type. Within other text, a value that is not text is written as JSON.

mod bounded;
mod bounded_writer;
mod compile;
mod guarded_names;
mod json;
mod known_names;
mod language;
mod large_stack;
mod operators;
mod prompt;
mod prompt_file;
mod restricted;
mod scan;
mod size;
mod tags;

pub(crate) use compile::{Compiler, NameProblem};
pub(crate) use guarded_names::GuardedNames;
pub(crate) use large_stack::with_large_stack;
pub(crate) use prompt::Prompt;
pub(crate) use restricted::render_restricted;

use std::sync::Arc;

use language::FUNCTIONS;
use llmspell::{Error, Result};
use minijinja::Expression;
use serde_json::{Map, Value};

/// The hint for a missing value.
const DEFAULT: &str = "give it a default: `${{ x | default(\"\") }}`";

/// A value of a flow file, ready to be rendered.
pub(crate) enum Template {
    /// A value without a template.
    Plain(Value),
    /// A single expression.
    Single(Expr),
    /// Text with expressions in it.
    Text(Vec<Segment>),
    List(Vec<Template>),
    Map(Vec<(String, Template)>),
}

pub(crate) enum Segment {
    Text(String),
    Expr(Expr),
}

/// A compiled expression.
pub(crate) struct Expr {
    text: Arc<str>,
    depth_estimate: usize,
    expression: Expression<'static, 'static>,
    /// The names that the expression uses, such as `inputs.url` or `steps.fetch.body`.
    names: Vec<String>,
    /// Whether the file has the expression without the marks of a template.
    is_bare: bool,
}

impl Template {
    /// Folds a template without expressions into a plain value, so that nothing is left to do at run time.
    fn fold_constants(self) -> Self {
        match self {
            Template::List(items) if items.iter().all(|item| matches!(item, Template::Plain(_))) => {
                Template::Plain(items.into_iter().map(Template::into_constant).collect())
            }
            Template::Map(entries) if entries.iter().all(|(_, value)| matches!(value, Template::Plain(_))) => {
                let entries = entries.into_iter().map(|(key, value)| (key, value.into_constant()));
                Template::Plain(Value::Object(entries.collect()))
            }
            other => other,
        }
    }

    fn into_constant(self) -> Value {
        match self {
            Template::Plain(value) => value,
            _ => Value::Null,
        }
    }

    /// Returns the value as it stands in the file, if there is no template in it.
    pub(crate) fn literal(&self) -> Option<&Value> {
        match self {
            Template::Plain(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the first item of a list, if there is no template in it.
    pub(crate) fn first(&self) -> Option<&Value> {
        match self {
            Template::Plain(list) => list.get(0),
            Template::List(items) => items.first()?.literal(),
            _ => None,
        }
    }

    /// Returns whether the value is a table with this key, ignoring ASCII case.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        match self {
            Template::Plain(Value::Object(fields)) => fields.keys().any(|known| known.eq_ignore_ascii_case(key)),
            Template::Map(fields) => fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(key)),
            _ => false,
        }
    }

    /// Returns the expressions of the template.
    pub(crate) fn exprs(&self) -> Vec<&Expr> {
        match self {
            Template::Plain(_) => Vec::new(),
            Template::Single(expr) => vec![expr],
            Template::Text(segments) => segments
                .iter()
                .filter_map(|segment| match segment {
                    Segment::Text(_) => None,
                    Segment::Expr(expr) => Some(expr),
                })
                .collect(),
            Template::List(items) => items.iter().flat_map(Template::exprs).collect(),
            Template::Map(entries) => entries.iter().flat_map(|(_, value)| value.exprs()).collect(),
        }
    }

    /// Renders the value for one record.
    pub(crate) fn render(&self, scope: &minijinja::Value) -> Result<Value> {
        match self {
            Template::Plain(value) => Ok(value.clone()),
            Template::Single(expr) => expr.json(scope),
            Template::Text(segments) => {
                let mut text = String::new();
                for segment in segments {
                    match segment {
                        Segment::Text(segment) => text.push_str(segment),
                        Segment::Expr(expr) => match expr.json(scope)? {
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

/// Returns the kind of an error with its detail.
fn describe(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()))
}

/// Returns the names that are not functions.
fn names(all: &[String]) -> impl Iterator<Item = &str> {
    all.iter().map(String::as_str).filter(|name| !FUNCTIONS.contains(&root(name)))
}

/// Returns the first part of a name: `steps` of `steps.fetch.body`.
fn root(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

impl Expr {
    /// Returns the value of the expression for one record.
    pub(crate) fn json(&self, scope: &minijinja::Value) -> Result<Value> {
        large_stack::with_stack_for(self.depth_estimate, || self.evaluate(scope)).map_err(|why| self.error(&why))?
    }

    /// Returns the truth value of the expression, if it is the same for every record.
    pub(crate) fn always(&self) -> Option<bool> {
        self.names().next().is_none().then(|| self.holds(&minijinja::Value::UNDEFINED).ok()).flatten()
    }

    /// Returns the names that the expression tests.
    pub(crate) fn guarded(&self) -> GuardedNames {
        let mut guarded = GuardedNames::default();
        guarded.add(&self.text);
        guarded
    }

    /// Returns whether the expression depends on the record alone, whatever the outputs of the steps.
    pub(crate) fn is_of_record(&self) -> bool {
        self.names().all(|name| matches!(root(name), "inputs" | "record"))
    }

    /// Returns the names that the expression uses, such as `inputs.url` or `steps.fetch.body`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        names(&self.names)
    }

    /// Returns the expression as it stands in the file.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the error for a value that is not a list where one is needed.
    pub(crate) fn not_a_list(&self, value: &Value) -> Error {
        let what = match value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) | Value::Object(_) => "a table",
        };
        self.error(&format!("must be a list, but is {what}")).with_hint("a list such as `inputs.urls` is needed here")
    }

    /// Returns whether the expression is true for one record: false, 0, null and empty values are not.
    pub(crate) fn holds(&self, scope: &minijinja::Value) -> Result<bool> {
        Ok(match self.json(scope)? {
            Value::Null => false,
            Value::Bool(holds) => holds,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
        })
    }

    fn evaluate(&self, scope: &minijinja::Value) -> Result<Value> {
        let value = self.expression.eval(scope.clone()).map_err(|error| self.evaluation_error(&error))?;
        if value.is_undefined() {
            return Err(self.error("is undefined for this record").with_hint(DEFAULT));
        }
        json::json(&value).map_err(|why| {
            self.error(&why).with_hint("an expression gives text, a finite number, a boolean, a list or a table")
        })
    }

    fn error(&self, why: &str) -> Error {
        let text = if self.is_bare { self.text.to_string() } else { format!("${{{{ {} }}}}", self.text) };
        Error::invalid(format!("`{text}` {why}"))
    }

    fn evaluation_error(&self, error: &minijinja::Error) -> Error {
        let detail = describe(error);
        let failure = self.error(&format!("cannot be computed: {detail}"));
        match error.kind() {
            minijinja::ErrorKind::UndefinedError => failure.with_hint(DEFAULT),
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::located::Located;
    use crate::syntax::node::Node;
    use crate::syntax::source::Source;
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
    fn a_single_expression_keeps_its_type() {
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
    fn invalid_expressions_are_rejected() {
        for error in ["${{ a b }}", "${{ }}", "${{ a", "{% if x %}"] {
            assert!(render(error).unwrap_err().contains("hint: "), "{error}");
        }
    }

    #[test]
    fn expressions_have_a_time_bound() {
        assert!(render("${{ range(100000) | map('string') | join | length }}").is_ok());
        assert!(render("${{ 'x' * 100000000000 }}").is_err());
    }

    #[test]
    fn expressions_have_a_memory_bound() {
        let large = "('x' * 1000000)";
        for error in [
            "${{ 'x\ny' | indent(40000000000) }}".to_owned(),
            "${{ '%2000000000d' | format(1) }}".to_owned(),
            "${{ [1] | slice(1000000000) }}".to_owned(),
            "${{ [1] | batch(1000000000, 0) }}".to_owned(),
            "${{ [1] * 100000000 }}".to_owned(),
            "${{ ([1] * 100000000) | list | length }}".to_owned(),
            format!("${{{{ {large} | replace('x', {large}) }}}}"),
            format!("${{{{ {large} | replace('', {large}) }}}}"),
            format!("${{{{ range(100000) | join({large}) }}}}"),
            format!("${{{{ range(100000) | join(d={large}) }}}}"),
            format!("${{{{ ([[{large}] * 1000] * 1000) | join }}}}"),
            "${{ (([['x'] * 1000000] * 1000000) ~ '') | length }}".to_owned(),
            "${{ [[1] * 1000000] * 1000000 == [[1] * 1000000] * 1000000 }}".to_owned(),
            format!("${{{{ [{large}] * 100000 }}}}"),
            format!("${{{{ ([{large}] * 100000) | string | length }}}}"),
            format!("${{{{ ([{large}] * 100000) | map('upper') | length }}}}"),
        ] {
            assert!(render(&error).is_err(), "{error}");
        }
        assert_eq!(render("${{ 'a-b' | replace('-', '+') }}"), Ok("a+b".into()));
        assert_eq!(render("${{ list | join(', ') }}"), Ok("1, 2".into()));
        assert_eq!(render("${{ list | map('string') | join(d='-') }}"), Ok("1-2".into()));
        assert_eq!(render("${{ [{'a': 'x'}] | join(',', attribute='a') }}"), Ok("x".into()));
        assert_eq!(render("${{ {'b': [1, none], 'a': true} }}"), Ok(serde_json::json!({ "b": [1, null], "a": true })));
    }

    #[test]
    fn values_without_json_form_are_errors() {
        for (error, why) in [
            ("range", "is a function"),
            ("[range]", "is a function"),
            ("'inf' | float", "JSON does not have"),
            ("'nan' | float", "JSON does not have"),
            ("{'a': [text.nothing]}", "undefined"),
        ] {
            let error = render(&format!("${{{{ {error} }}}}")).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn long_expressions_compile_on_a_small_stack() {
        let fill = |most: usize, first: &str, link: &str, last: &str| {
            let depth_estimate = (most - first.len() - last.len()) / link.len();
            format!("${{{{ {first}{}{last} }}}}", link.repeat(depth_estimate))
        };
        let chains = [
            ("1", "+1", ""),
            ("1", "|d", ""),
            ("", "not ", "1"),
            ("", "-", "1"),
            ("1", ".a", ""),
            ("1", "[1]", ""),
            ("1", "**1", ""),
            ("1", "~1", ""),
            ("1", "<1", ""),
            ("1", " if 1 else 1", ""),
            ("1", " or 1", ""),
            ("1", " is odd", ""),
            ("", "(", "1"),
            ("", "[", "1"),
            ("1", "+range(1)", ""),
            ("range(1)", "+[1]", "|list"),
            ("range(2)", "[1:]", "|list"),
            ("range(2)", "|reverse", "|list"),
            ("[1]", "*1", "|list"),
            ("range(2)", "|list", ""),
            ("[1]", "|map('list')", ""),
            ("[1]", "|groupby(0)", ""),
            ("range(2)", "[:]", ""),
        ];
        for (first, link, last) in chains {
            let shallow = (40..).map(|most| fill(most, first, link, last));
            let shallow = shallow
                .take_while(|text| large_stack::depth_estimate(text) <= large_stack::SHALLOW + 5)
                .last()
                .unwrap();
            for text in [shallow, fill(large_stack::MAX_EXPR_BYTES, first, link, last)] {
                let named = std::thread::Builder::new().name(text[..40].to_owned());
                named.stack_size(2 << 20).spawn(move || render(&text).is_ok()).unwrap().join().unwrap();
            }
        }
        let error = render(&format!("${{{{ 1{} }}}}", "+1".repeat(100_000))).unwrap_err();
        assert!(error.contains("too long") && error.contains("hint: ") && error.contains("^"), "{error}");
    }
}
