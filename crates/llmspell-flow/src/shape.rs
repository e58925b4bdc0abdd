//! What is known of a value before it is there: which fields it can have.

use crate::file::InputType;
use crate::inputs::Inputs;
use crate::template::{Complaint, Template};
use llmspell::suggest;

/// What an output looks like, as far as it follows from the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Shape {
    /// It may be anything.
    #[default]
    Any,
    /// A text, a number, true or false, or null; it has no fields.
    Plain(&'static str),
    /// What an agent says without an `answer`.
    Words,
    List(Box<Shape>),
    /// A table with these fields and no others; some of them may be missing.
    Table(Vec<(String, Shape)>),
}

impl Shape {
    pub(crate) const TEXT: Shape = Shape::Plain("a text");

    /// A table whose fields can be anything.
    pub(crate) fn table<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        Shape::Table(fields.into_iter().map(|field| (field.to_owned(), Shape::Any)).collect())
    }

    pub(crate) fn list(item: Shape) -> Self {
        Shape::List(Box::new(item))
    }

    /// Of declared fields.
    pub(crate) fn declared(fields: &Inputs) -> Self {
        let of = |kind| match kind {
            Some(InputType::String) => Shape::TEXT,
            Some(InputType::Number | InputType::Integer) => Shape::Plain("a number"),
            Some(InputType::Boolean) => Shape::Plain("true or false"),
            Some(InputType::Array) => Shape::list(Shape::Any),
            Some(InputType::Object) | None => Shape::Any,
        };
        let Some(types) = fields.types() else { return Shape::Any };
        Shape::Table(types.map(|(name, kind)| (name.to_owned(), of(kind))).collect())
    }

    /// Of what stands in the file; `named` tells that of a name, such as `steps.page.body`.
    pub(crate) fn of(template: &Template, named: &dyn Fn(&str) -> Shape) -> Self {
        match template {
            Template::Plain(value) => Shape::of_json(value),
            Template::Lone(formula) if is_name(formula.text()) => named(formula.text()),
            Template::Lone(_) => Shape::Any,
            Template::Text(_) => Shape::TEXT,
            Template::List(_) => Shape::list(Shape::Any),
            Template::Map(fields) => {
                Shape::Table(fields.iter().map(|(name, value)| (name.clone(), Shape::of(value, named))).collect())
            }
        }
    }

    fn of_json(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Shape::Plain("null"),
            Value::Bool(_) => Shape::Plain("true or false"),
            Value::Number(_) => Shape::Plain("a number"),
            Value::String(_) => Shape::TEXT,
            Value::Array(_) => Shape::list(Shape::Any),
            Value::Object(fields) => {
                Shape::Table(fields.iter().map(|(name, value)| (name.clone(), Shape::of_json(value))).collect())
            }
        }
    }

    /// What it is, in a word.
    pub(crate) fn described(&self) -> &'static str {
        match self {
            Shape::Any => "anything",
            Shape::Plain(what) => what,
            Shape::Words => "a text",
            Shape::List(_) => "a list",
            Shape::Table(_) => "a table",
        }
    }

    /// The items, if it is a list.
    pub(crate) fn item(self) -> Self {
        match self {
            Shape::List(item) => *item,
            _ => Shape::Any,
        }
    }

    /// What a path of fields leads to, or why it leads nowhere. `name` is what the value is called.
    pub(crate) fn follow<'a>(&self, name: &str, path: impl IntoIterator<Item = &'a str>) -> Result<Shape, Complaint> {
        let (mut shape, mut name) = (self, name.to_owned());
        for field in path {
            let wrong = match shape {
                Shape::Any => return Ok(Shape::Any),
                Shape::Table(fields) => match fields.iter().find(|(known, _)| known == field) {
                    Some((_, inner)) => {
                        (shape, name) = (inner, format!("{name}.{field}"));
                        continue;
                    }
                    None if fields.is_empty() => (format!("`{name}` is an empty table"), format!("use `{name}`")),
                    None => {
                        let known = fields.iter().map(|(known, _)| known.as_str());
                        (format!("`{name}` has no field `{field}`"), suggest::hint(field, known, "its fields are"))
                    }
                },
                Shape::List(_) => (
                    format!("`{name}` is a list, and has no field `{field}`"),
                    format!("of one item: `{name}[0].{field}`; of each: `{name} | map(attribute=\"{field}\")`"),
                ),
                Shape::Words => (
                    format!("`{name}` is a text, and has no field `{field}`"),
                    format!("use `{name}` itself, or give the agent an `answer` with that field"),
                ),
                Shape::Plain(what) => {
                    (format!("`{name}` is {what}, and has no field `{field}`"), format!("use `{name}` itself"))
                }
            };
            return Err(Complaint { message: wrong.0, hint: wrong.1 });
        }
        Ok(shape.clone())
    }
}

/// Whether an expression is nothing but a name, such as `steps.page.body`.
fn is_name(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
