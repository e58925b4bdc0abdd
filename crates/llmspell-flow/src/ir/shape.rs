//! The shape of a value before it exists: the fields that it can have.

use std::ops::Deref;
use std::sync::Arc;

use llmspell::internal::suggest;

use crate::ir::fields::Inputs;
use crate::syntax::file::InputType;
use crate::template::{NameProblem, Template};

/// The shape of an output, as far as it follows from the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Shape {
    /// Any value.
    #[default]
    Any,
    /// A text, a number, a boolean or null: a value without fields. Contains its display name.
    Plain(&'static str),
    /// The text of an agent without an `answer`.
    Text,
    List(Shared<Shape>),
    /// A table with these fields and no others. Some of them may be missing.
    Table(Shared<Vec<(String, Shape)>>),
}

/// The parts of a compound shape. The shape of a step contains the shapes of the steps that it names, and later steps
/// contain both. Sharing them keeps memory small.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shared<T> {
    of: Arc<T>,
    /// The number of shapes in it; a shared shape counts each time it occurs.
    size: usize,
    depth: usize,
}

/// A shape that is larger or deeper becomes [`Shape::Any`]: `{ a: "${{ steps.x }}", b: "${{ steps.x }}" }` doubles the
/// size with each step, and each use of a shape walks all of it.
const MAX_SIZE: usize = 1000;
const MAX_DEPTH: usize = 16;

impl<T> Shared<T> {
    /// Shares these parts; `None` if the shape would be too large or too deep.
    fn new(of: T, parts: impl FnOnce(&T) -> Vec<&Shape>) -> Option<Self> {
        let (size, depth) = parts(&of).into_iter().fold((1, 1), |(size, depth), part| {
            let (more, deep) = part.extent();
            (size + more, depth.max(deep + 1))
        });
        (size <= MAX_SIZE && depth <= MAX_DEPTH).then(|| Shared { of: Arc::new(of), size, depth })
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.of
    }
}

impl Shape {
    pub(crate) const TEXT: Shape = Shape::Plain("a text");

    /// Returns a table whose fields can be anything.
    pub(crate) fn table<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        Shape::fields(fields.into_iter().map(|field| (field.to_owned(), Shape::Any)))
    }

    /// Returns a table with these fields.
    pub(crate) fn fields(fields: impl IntoIterator<Item = (String, Shape)>) -> Self {
        let fields: Vec<_> = fields.into_iter().collect();
        Shared::new(fields, |fields| fields.iter().map(|(_, shape)| shape).collect()).map_or(Shape::Any, Shape::Table)
    }

    pub(crate) fn list(item: Shape) -> Self {
        Shared::new(item, |item| vec![item]).map_or(Shape::Any, Shape::List)
    }

    /// Returns the number of shapes in it, and its depth.
    fn extent(&self) -> (usize, usize) {
        match self {
            Shape::Any | Shape::Plain(_) | Shape::Text => (1, 1),
            Shape::List(item) => (item.size, item.depth),
            Shape::Table(fields) => (fields.size, fields.depth),
        }
    }

    /// Returns the shape of declared fields.
    pub(crate) fn declared(fields: &Inputs) -> Self {
        let of = |kind| match kind {
            Some(InputType::String) => Shape::TEXT,
            Some(InputType::Number | InputType::Integer) => Shape::Plain("a number"),
            Some(InputType::Boolean) => Shape::Plain("true or false"),
            Some(InputType::Array) => Shape::list(Shape::Any),
            Some(InputType::Object) | None => Shape::Any,
        };
        let Some(types) = fields.types() else { return Shape::Any };
        Shape::fields(types.map(|(name, kind)| (name.to_owned(), of(kind))))
    }

    /// Returns the shape of a template. `named` returns the shape of a name, such as `steps.page.body`.
    pub(crate) fn of(template: &Template, named: &dyn Fn(&str) -> Shape) -> Self {
        match template {
            Template::Plain(value) => Shape::of_json(value),
            Template::Single(formula) if is_name(formula.text()) => named(formula.text()),
            Template::Single(_) => Shape::Any,
            Template::Text(_) => Shape::TEXT,
            Template::List(_) => Shape::list(Shape::Any),
            Template::Map(fields) => {
                Shape::fields(fields.iter().map(|(name, value)| (name.clone(), Shape::of(value, named))))
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
                Shape::fields(fields.iter().map(|(name, value)| (name.clone(), Shape::of_json(value))))
            }
        }
    }

    /// Returns the name for messages, such as "a table".
    pub(crate) fn display_name(&self) -> &'static str {
        match self {
            Shape::Any => "anything",
            Shape::Plain(what) => what,
            Shape::Text => "a text",
            Shape::List(_) => "a list",
            Shape::Table(_) => "a table",
        }
    }

    /// Returns the shape of an item, if this is a list.
    pub(crate) fn item(self) -> Self {
        match self {
            Shape::List(item) => (*item).clone(),
            _ => Shape::Any,
        }
    }

    /// Follows a path of fields and returns the shape at its end, or the reason why there is none. `name` is the name
    /// of the value in messages.
    pub(crate) fn follow<'a>(&self, name: &str, path: impl IntoIterator<Item = &'a str>) -> Result<Shape, NameProblem> {
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
                Shape::Text => (
                    format!("`{name}` is a text, and has no field `{field}`"),
                    format!("use `{name}` itself, or give the agent an `answer` with that field"),
                ),
                Shape::Plain(what) => {
                    (format!("`{name}` is {what}, and has no field `{field}`"), format!("use `{name}` itself"))
                }
            };
            return Err(NameProblem { message: wrong.0, hint: wrong.1, lacks: Some(format!("{name}.{field}")) });
        }
        Ok(shape.clone())
    }
}

/// Returns whether an expression is a plain name, such as `steps.page.body`.
fn is_name(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(of: &Shape) -> Shape {
        Shape::fields(["a", "b"].map(|name| (name.to_owned(), of.clone())))
    }

    #[test]
    fn shapes_that_double_or_nest_stay_small() {
        let (mut doubled, mut chain, mut list) = (Shape::TEXT, Shape::TEXT, Shape::TEXT);
        for _ in 0..10_000 {
            doubled = pair(&doubled);
            chain = Shape::fields([("a".to_owned(), chain)]);
            list = Shape::list(list);
            for shape in [&doubled, &chain, &list] {
                let (size, depth) = shape.extent();
                assert!(size <= MAX_SIZE && depth <= MAX_DEPTH, "{size} {depth}");
            }
        }
        assert!(doubled == doubled.clone() && chain == chain.clone());
        let wide = Shape::fields((0..MAX_SIZE).map(|field| (field.to_string(), Shape::Any)));
        assert_eq!(wide, Shape::Any);
    }

    #[test]
    fn small_shapes_keep_their_fields() {
        let shape = pair(&pair(&Shape::TEXT));
        assert_eq!(shape.follow("x", ["a", "b"]).ok(), Some(Shape::TEXT));
        assert!(shape.follow("x", ["a", "c"]).is_err());
    }
}
