//! Partial evaluation: the values of a record that are known without running a step.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::exec::scope::Scope;
use crate::template::{Formula, Template};

/// The maximum size of an output that is kept, in bytes and values.
const MAX_SIZE: usize = 256 * 1024;

/// Returns whether a value is larger than `left`, and subtracts its size.
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

/// A record that passes through a flow while nothing runs, with the values that are known.
#[derive(Clone)]
pub(super) struct PartialRecord {
    scope: Scope,
    record: bool,
    item: bool,
    index: bool,
    /// The steps whose outputs follow from the record alone.
    steps: Arc<Vec<Arc<str>>>,
}

impl PartialRecord {
    /// Creates the state without a record.
    pub(super) fn nothing() -> Self {
        PartialRecord { record: false, ..PartialRecord::record(&Map::new(), 0) }
    }

    pub(super) fn record(fields: &Map<String, Value>, index: usize) -> Self {
        let scope = Scope::new(fields, index, minijinja::Value::UNDEFINED);
        PartialRecord { scope, record: true, item: false, index: false, steps: Arc::default() }
    }

    /// Returns the state within a list, with one of its items.
    pub(super) fn of_item(&self, item: &Value, index: usize) -> Self {
        let scope = self.scope.of_item(item, index);
        PartialRecord { scope, record: self.record, item: true, index: true, steps: self.steps.clone() }
    }

    /// Returns the state within a list, with an unknown item.
    pub(super) fn of_any(&self) -> Self {
        PartialRecord { item: false, index: false, ..self.clone() }
    }

    /// Returns the state within a repetition, in an unknown round. The item of a list around it stays known.
    pub(super) fn of_round(&self) -> Self {
        PartialRecord { index: false, ..self.clone() }
    }

    /// Adds the output of a step, unless it is too large: a chain of steps that each double it would never finish.
    pub(super) fn with(self, step: &Arc<str>, output: Value) -> Self {
        let mut left = MAX_SIZE;
        if is_larger(&output, &mut left) {
            return self;
        }
        let mut steps = self.steps;
        Arc::make_mut(&mut steps).push(step.clone());
        PartialRecord { scope: self.scope.with(step, output), steps, ..self }
    }

    /// Returns the value that templates see.
    pub(super) fn seen(&self) -> minijinja::Value {
        self.scope.value()
    }

    /// Returns whether the value of a name such as `steps.fetch.body` is known.
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

    /// Evaluates a condition; `None` if it depends on unknown values. The record would fail with the same error.
    pub(super) fn holds(&self, condition: &Formula) -> Option<llmspell::Result<bool>> {
        condition.names().all(|name| self.knows(name)).then(|| condition.holds(&self.seen()))
    }

    /// Returns the items of a list, if they are known.
    pub(super) fn items(&self, list: &Formula) -> Option<Vec<Value>> {
        if !list.names().all(|name| self.knows(name)) {
            return None;
        }
        match list.json(&self.seen()) {
            Ok(Value::Array(items)) => Some(items),
            _ => None,
        }
    }

    /// Renders a template, if all values in it are known.
    pub(super) fn value(&self, template: &Template) -> Option<Value> {
        let known = template.formulas().iter().all(|formula| formula.names().all(|name| self.knows(name)));
        known.then(|| template.render(&self.seen()).ok()).flatten()
    }
}
