//! How long a prompt will be, as far as what it uses is known.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use serde_json::Value as Json;

use super::{Formula, Piece, Prompt, Template};

impl Prompt {
    /// The bytes of its text for one record. What `is_known` does not know counts nothing, nor does what cannot be
    /// computed.
    pub(crate) fn size(&self, scope: &minijinja::Value, is_known: &mut dyn FnMut(&str) -> bool) -> usize {
        match self {
            Prompt::Text(template) => template.size(scope, is_known),
            Prompt::File(file) => {
                // All of them are asked, so that all that is unknown can be told.
                let unknown: Vec<&str> = file.names().filter(|name| !is_known(name)).collect();
                if unknown.is_empty() {
                    return file.render(scope).map_or(0, |text| text.len());
                }
                let unknown = unknown.iter().map(|name| name.split('.').map(Arc::from).collect()).collect();
                let partly = Partly { known: scope.clone(), unknown };
                let rendered = file.render(&minijinja::Value::from_object(partly));
                rendered.map_or_else(|_| file.plain_size(), |text| text.len())
            }
        }
    }

    /// What it uses, such as `steps.fetch.body`.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Prompt::Text(template) => template.formulas().into_iter().flat_map(Formula::names).collect(),
            Prompt::File(file) => file.names().collect(),
        }
    }
}

impl Template {
    fn size(&self, scope: &minijinja::Value, is_known: &mut dyn FnMut(&str) -> bool) -> usize {
        let mut of = |formula: &Formula| {
            let unknown = formula.names().filter(|name| !is_known(name)).count();
            let value = (unknown == 0).then(|| formula.json(scope).ok()).flatten();
            value.map_or(0, |value| size(&value))
        };
        match self {
            Template::Plain(value) => size(value),
            Template::Lone(formula) => of(formula),
            Template::Text(pieces) => {
                let of = |piece: &Piece| match piece {
                    Piece::Text(text) => text.len(),
                    Piece::Formula(formula) => of(formula),
                };
                pieces.iter().map(of).sum()
            }
            // No prompt is one.
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

/// What a template sees, of which some is not known.
#[derive(Debug)]
struct Partly {
    known: minijinja::Value,
    /// The names by their parts.
    unknown: Vec<Vec<Arc<str>>>,
}

impl Object for Partly {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        let name = key.as_str()?;
        let below: Vec<_> =
            self.unknown.iter().filter(|parts| parts.first().is_some_and(|part| **part == *name)).collect();
        let value = || self.known.get_attr(name).ok().filter(|value| !value.is_undefined());
        if below.is_empty() {
            return value();
        }
        if below.iter().any(|parts| parts.len() == 1) {
            return Some(minijinja::Value::from_object(Unknown));
        }
        let unknown = below.iter().map(|parts| parts[1..].to_vec()).collect();
        let known = value().unwrap_or_default();
        Some(minijinja::Value::from_object(Partly { known, unknown }))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }
}

/// Holds nothing, whatever it is asked for.
#[derive(Debug)]
struct Unknown;

/// Whether it stands for something that is not known.
pub(super) fn is_unknown(value: &minijinja::Value) -> bool {
    value.downcast_object_ref::<Unknown>().is_some()
}

impl Object for Unknown {
    fn get_value(self: &Arc<Self>, _: &minijinja::Value) -> Option<minijinja::Value> {
        Some(minijinja::Value::from_object(Unknown))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }
}
