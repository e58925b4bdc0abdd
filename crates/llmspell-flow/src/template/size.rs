//! The length of a prompt, as far as the values that it uses are known.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use serde_json::Value as Json;

use super::{Expr, Prompt, Segment, Template};

impl Prompt {
    /// Returns the bytes of its text for one record. Values unknown to `is_known` count nothing, and neither do
    /// expressions that cannot be computed.
    pub(crate) fn size(&self, scope: &minijinja::Value, is_known: &mut dyn FnMut(&str) -> bool) -> usize {
        match self {
            Prompt::Text(template) => template.size(scope, is_known),
            Prompt::File(file) => {
                // Every name is asked for, so that all the unknown ones can be reported.
                let unknown: Vec<&str> = file.names().filter(|name| !is_known(name)).collect();
                if unknown.is_empty() {
                    return file.render(scope).map_or(0, |text| text.len());
                }
                let unknown = unknown.iter().map(|name| name.split('.').map(Arc::from).collect()).collect();
                let partial = PartialScope { known: scope.clone(), unknown };
                let rendered = file.render(&minijinja::Value::from_object(partial));
                rendered.map_or_else(|_| file.plain_size(), |text| text.len())
            }
        }
    }

    /// Returns the names that it uses, such as `steps.fetch.body`.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Prompt::Text(template) => template.exprs().into_iter().flat_map(Expr::names).collect(),
            Prompt::File(file) => file.names().collect(),
        }
    }
}

impl Template {
    fn size(&self, scope: &minijinja::Value, is_known: &mut dyn FnMut(&str) -> bool) -> usize {
        let mut of = |expr: &Expr| {
            let unknown = expr.names().filter(|name| !is_known(name)).count();
            let value = (unknown == 0).then(|| expr.json(scope).ok()).flatten();
            value.map_or(0, |value| size(&value))
        };
        match self {
            Template::Plain(value) => size(value),
            Template::Single(expr) => of(expr),
            Template::Text(segments) => {
                let of = |segment: &Segment| match segment {
                    Segment::Text(text) => text.len(),
                    Segment::Expr(expr) => of(expr),
                };
                segments.iter().map(of).sum()
            }
            // A prompt is text, never a list or a table.
            Template::List(_) | Template::Map(_) => 0,
        }
    }
}

fn size(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len(),
        other => other.to_string().len(),
    }
}

/// A scope of a template of which some values are unknown.
#[derive(Debug)]
struct PartialScope {
    known: minijinja::Value,
    /// The unknown names, split at their dots.
    unknown: Vec<Vec<Arc<str>>>,
}

impl Object for PartialScope {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        let name = key.as_str()?;
        let below: Vec<_> =
            self.unknown.iter().filter(|parts| parts.first().is_some_and(|part| **part == *name)).collect();
        let value = || self.known.get_attr(name).ok().filter(|value| !value.is_undefined());
        if below.is_empty() {
            return value();
        }
        if below.iter().any(|parts| parts.len() == 1) {
            return Some(minijinja::Value::from_object(UnknownValue));
        }
        let unknown = below.iter().map(|parts| parts[1..].to_vec()).collect();
        let known = value().unwrap_or_default();
        Some(minijinja::Value::from_object(PartialScope { known, unknown }))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }
}

/// A value that is unknown, and so are all of its fields.
#[derive(Debug)]
struct UnknownValue;

/// Returns whether the value stands for an unknown one.
pub(super) fn is_unknown(value: &minijinja::Value) -> bool {
    value.downcast_object_ref::<UnknownValue>().is_some()
}

impl Object for UnknownValue {
    fn get_value(self: &Arc<Self>, _: &minijinja::Value) -> Option<minijinja::Value> {
        Some(minijinja::Value::from_object(UnknownValue))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }
}
