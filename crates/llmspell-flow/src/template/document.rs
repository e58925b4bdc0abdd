//! Whole documents: text with `{{ … }}`, `{% if … %}` and `{% for … %}`, as Jinja has them.
//!
//! The expressions are those of flow files. The statements are few, and read here, for a document may come from a
//! record or a model: `set`, `macro` and `filter` of Jinja could make a short one compute for ever, or fill the memory.

mod parse;

use std::sync::Arc;

use llmspell::{Error, ErrorKind, Result};
use minijinja::value::{Enumerator, Object, Serde};
use minijinja::{Expression, Value};
use serde_json::{Map, Value as Json};

use super::json::json;
use super::large_stack::with_stack_for;

/// The longest document, in bytes.
const MAX_EXPR_BYTES: usize = 256 << 10;

/// What may come out, and what a value in it may take.
const LARGEST: usize = 16 << 20;

/// How many expressions may be computed, and items of loops gone through.
const MOST: u32 = 100_000;

/// A part of a document.
enum Part {
    Text(String),
    Value(Expr),
    /// The first branch whose condition holds, or that has none.
    If(Vec<(Option<Expr>, Vec<Part>)>),
    For {
        /// One for the item, or two for key and value.
        names: Vec<Arc<str>>,
        over: Expr,
        body: Vec<Part>,
        otherwise: Vec<Part>,
    },
}

struct Expr {
    text: String,
    depth_estimate: usize,
    line: usize,
    expression: Expression<'static, 'static>,
}

/// The text of a document with these values; given up once `stop` says so.
pub(crate) fn document(text: &str, values: &Map<String, Json>, stop: &dyn Fn() -> bool) -> Result<String> {
    if text.len() > MAX_EXPR_BYTES {
        let error = Error::invalid(format!("the template is longer than {} KiB", MAX_EXPR_BYTES >> 10));
        return Err(error.with_hint("write what is always the same around it in another step"));
    }
    let taken = values.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>();
    if taken > LARGEST {
        return Err(too_large("the values take"));
    }
    let parts = parse::parse(text)?;
    let scope = Scope { values: Value::from(Serde(values)), bound: Arc::default() };
    let mut writer = Writer { out: String::new(), computed: 0, stop };
    writer.parts(&parts, &scope)?;
    Ok(writer.out)
}

/// What expressions see: the values, and what loops around them name.
#[derive(Clone, Debug)]
struct Scope {
    values: Value,
    bound: Arc<Vec<(Arc<str>, Value)>>,
}

impl Scope {
    fn with(&self, named: impl IntoIterator<Item = (Arc<str>, Value)>) -> Self {
        let mut bound = self.bound.clone();
        Arc::make_mut(&mut bound).extend(named);
        Scope { values: self.values.clone(), bound }
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let bound = self.bound.iter().rev().find(|(known, _)| **known == *name);
        bound
            .map(|(_, value)| value.clone())
            .or_else(|| self.values.get_attr(name).ok().filter(|value| !value.is_undefined()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

struct Writer<'a> {
    out: String,
    computed: u32,
    stop: &'a dyn Fn() -> bool,
}

impl Writer<'_> {
    fn parts(&mut self, parts: &[Part], scope: &Scope) -> Result<()> {
        for part in parts {
            match part {
                Part::Text(text) => self.write(text)?,
                Part::Value(formula) => match self.compute(formula, scope)? {
                    Json::String(text) => self.write(&text)?,
                    other => self.write(&other.to_string())?,
                },
                Part::If(branches) => {
                    for (condition, body) in branches {
                        let holds = match condition {
                            Some(condition) => holds(&self.compute(condition, scope)?),
                            None => true,
                        };
                        if holds {
                            self.parts(body, scope)?;
                            break;
                        }
                    }
                }
                Part::For { names, over, body, otherwise } => self.repeat(names, over, body, otherwise, scope)?,
            }
        }
        Ok(())
    }

    fn repeat(
        &mut self,
        names: &[Arc<str>],
        over: &Expr,
        body: &[Part],
        otherwise: &[Part],
        scope: &Scope,
    ) -> Result<()> {
        let items: Vec<Vec<Json>> = match (self.compute(over, scope)?, names.len()) {
            (Json::Array(items), 1) => items.into_iter().map(|item| vec![item]).collect(),
            (Json::Object(fields), 1) => fields.into_iter().map(|(name, _)| vec![Json::String(name)]).collect(),
            (Json::Object(fields), _) => {
                fields.into_iter().map(|(name, value)| vec![Json::String(name), value]).collect()
            }
            (Json::Array(items), _) => {
                let pairs = items.into_iter().map(|item| match item {
                    Json::Array(pair) if pair.len() == names.len() => Some(pair),
                    _ => None,
                });
                let pairs: Option<Vec<_>> = pairs.collect();
                pairs.ok_or_else(|| over.wrong(&format!("does not give lists of {}", names.len())))?
            }
            _ => {
                return Err(over
                    .wrong("is neither a list nor a table")
                    .with_hint("`for` goes through lists and tables"));
            }
        };
        if items.is_empty() {
            return self.parts(otherwise, scope);
        }
        let length = items.len();
        for (index, item) in items.into_iter().enumerate() {
            self.count()?;
            let about = serde_json::json!({ "index": index + 1, "index0": index, "first": index == 0,
                "last": index + 1 == length, "length": length });
            let named = names.iter().cloned().zip(item.into_iter().map(|item| Value::from(Serde(item))));
            let scope = scope.with(named.chain([(Arc::from("loop"), Value::from(Serde(about)))]));
            self.parts(body, &scope)?;
        }
        Ok(())
    }

    fn compute(&mut self, formula: &Expr, scope: &Scope) -> Result<Json> {
        self.count()?;
        let value = with_stack_for(formula.depth_estimate, || {
            let value = formula.expression.eval(Value::from_object(scope.clone())).map_err(|error| {
                let why =
                    error.detail().map_or_else(|| error.kind().to_string(), |why| format!("{}: {why}", error.kind()));
                match error.kind() {
                    minijinja::ErrorKind::UndefinedError => formula.undefined(),
                    _ => formula.wrong(&format!("cannot be computed: {why}")),
                }
            })?;
            if value.is_undefined() {
                return Err(formula.undefined());
            }
            json(&value).map_err(|why| formula.wrong(&why))
        });
        let value = value.map_err(|why| formula.wrong(&why))??;
        if size(&value) > LARGEST {
            return Err(too_large(&format!("line {}: `{}` takes", formula.line, formula.text)));
        }
        Ok(value)
    }

    /// One more expression, or one more time around a loop.
    fn count(&mut self) -> Result<()> {
        self.computed += 1;
        if self.computed > MOST {
            let error = Error::invalid(format!("the template goes on for more than {MOST} expressions and items"));
            return Err(error.with_hint("write shorter lists, or in several steps"));
        }
        if (self.stop)() { Err(Error::new(ErrorKind::Cancelled, "called off")) } else { Ok(()) }
    }

    fn write(&mut self, text: &str) -> Result<()> {
        if self.out.len() + text.len() > LARGEST {
            return Err(too_large("what comes out takes"));
        }
        self.out.push_str(text);
        Ok(())
    }
}

impl Expr {
    fn wrong(&self, why: &str) -> Error {
        Error::invalid(format!("line {}: `{}` {why}", self.line, self.text))
    }

    fn undefined(&self) -> Error {
        self.wrong("is undefined").with_hint("give it under `values`, or a default: `{{ x | default(\"\") }}`")
    }
}

fn too_large(what: &str) -> Error {
    Error::invalid(format!("{what} more than {} MiB", LARGEST >> 20)).with_hint("write it in several steps")
}

/// About what a value takes.
fn size(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len() + size_of::<Json>(),
        Json::Array(items) => items.iter().map(size).sum::<usize>() + size_of::<Json>(),
        Json::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>() + size_of::<Json>()
        }
        _ => size_of::<Json>(),
    }
}

/// As in Jinja: nothing, zero and what is empty do not hold.
fn holds(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(value) => *value,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(fields) => !fields.is_empty(),
    }
}
