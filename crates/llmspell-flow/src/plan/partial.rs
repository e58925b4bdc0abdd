//! What is known of a record before its steps run.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::exec::scope::Scope;
use crate::template::{Expr, Template};

/// How many bytes and values of an output are looked at.
const LARGEST: usize = 256 * 1024;

/// Whether there is more in it than is left.
fn is_larger(value: &Value, left: &mut usize) -> bool {
    let own = match value {
        Value::String(text) => text.len() + 1,
        Value::Object(fields) => fields.keys().map(String::len).sum::<usize>() + 1,
        _ => 1,
    };
    if own > *left {
        return true;
    }
    *left -= own;
    match value {
        Value::Array(items) => items.iter().any(|item| is_larger(item, left)),
        Value::Object(fields) => fields.values().any(|field| is_larger(field, left)),
        _ => false,
    }
}

/// A record on its way through a flow of which nothing runs.
#[derive(Clone)]
pub(super) struct Known {
    scope: Scope,
    record: bool,
    item: bool,
    index: bool,
    /// The steps whose outputs follow from the record alone.
    steps: Arc<Vec<Arc<str>>>,
}

impl Known {
    /// Before there is a record.
    pub(super) fn nothing() -> Self {
        Known { record: false, ..Known::record(&Map::new(), 0) }
    }

    pub(super) fn record(fields: &Map<String, Value>, index: usize) -> Self {
        let scope = Scope::new(fields, index, minijinja::Value::UNDEFINED);
        Known { scope, record: true, item: false, index: false, steps: Arc::default() }
    }

    /// Inside of a list, with an item of it.
    pub(super) fn of_item(&self, item: &Value, index: usize) -> Self {
        let scope = self.scope.for_item(item, index);
        Known { scope, record: self.record, item: true, index: true, steps: self.steps.clone() }
    }

    /// Inside of a list, with any item of it.
    pub(super) fn of_any(&self) -> Self {
        Known { item: false, index: false, ..self.clone() }
    }

    /// In any round of a repetition. An item around it stays what it is.
    pub(super) fn of_round(&self) -> Self {
        Known { index: false, ..self.clone() }
    }

    /// With the output of a step, unless it is so large that steps which double it would never come to an end.
    pub(super) fn with(self, step: &Arc<str>, output: Value) -> Self {
        let mut left = LARGEST;
        if is_larger(&output, &mut left) {
            return self;
        }
        let mut steps = self.steps;
        Arc::make_mut(&mut steps).push(step.clone());
        Known { scope: self.scope.with(step, output), steps, ..self }
    }

    /// As templates see it.
    pub(super) fn seen(&self) -> minijinja::Value {
        self.scope.value()
    }

    /// Whether a name such as `steps.fetch.body` is known.
    pub(super) fn knows(&self, name: &str) -> bool {
        let mut parts = name.split('.');
        match parts.next() {
            Some("inputs" | "record") => self.record,
            Some("item") => self.item,
            Some("index") => self.index,
            Some("steps") => parts.next().is_some_and(|id| self.steps.iter().any(|step| **step == *id)),
            _ => false,
        }
    }

    /// Whether a condition holds; `None` if that is not known, and an error is one that the record would have.
    pub(super) fn holds(&self, condition: &Expr) -> Option<llmspell::Result<bool>> {
        condition.names().all(|name| self.knows(name)).then(|| condition.holds(&self.seen()))
    }

    /// The items of a list, if they are known.
    pub(super) fn items(&self, list: &Expr) -> Option<Vec<Value>> {
        if !list.names().all(|name| self.knows(name)) {
            return None;
        }
        match list.json(&self.seen()) {
            Ok(Value::Array(items)) => Some(items),
            _ => None,
        }
    }

    /// What a template gives, if that is known.
    pub(super) fn value(&self, template: &Template) -> Option<Value> {
        let known = template.exprs().iter().all(|formula| formula.names().all(|name| self.knows(name)));
        known.then(|| template.render(&self.seen()).ok()).flatten()
    }
}
