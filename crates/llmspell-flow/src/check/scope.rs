//! The names that the templates at one position can use, and the names that a step does use.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ir::fingerprint::Fingerprint;
use crate::ir::shape::Shape;
use crate::template::{Complaint, Tested};

/// The names that the templates at one position can use.
#[derive(Clone)]
pub(crate) struct NameScope {
    /// The shape of the record.
    inputs: Shape,
    /// The steps before this position, with the fingerprint and the shape of their outputs.
    pub(super) steps: BTreeMap<Arc<str>, (Fingerprint, Shape)>,
    /// The id of the current step, and the ids of the steps around it.
    pub(super) around: Vec<Arc<str>>,
    /// The shape of the current item, if a list is around this position.
    pub(crate) item: Option<Shape>,
    /// Whether `last`, the output of the previous round, exists.
    pub(crate) round: bool,
    /// Whether secrets may be used here.
    pub(crate) secrets: bool,
    /// The names that the conditions of the steps around have tested.
    pub(crate) tested: Tested,
}

impl NameScope {
    /// Creates the scope of the first step.
    pub(super) fn first(inputs: Shape) -> Self {
        NameScope {
            inputs,
            steps: BTreeMap::new(),
            around: Vec::new(),
            item: None,
            round: false,
            secrets: false,
            tested: Tested::default(),
        }
    }

    /// Adds a step, for the steps after it.
    pub(crate) fn add(&mut self, id: &Arc<str>, fingerprint: Fingerprint, shape: Shape) {
        self.steps.insert(id.clone(), (fingerprint, shape));
    }

    /// Returns the shape of a name, such as `steps.page.body`, as far as it is known.
    pub(crate) fn shape_of(&self, name: &str) -> Shape {
        self.follow(name).unwrap_or_default()
    }

    /// Returns the shape of a name, or the reason why it does not exist.
    pub(super) fn follow(&self, name: &str) -> Result<Shape, Complaint> {
        let mut parts = name.split('.');
        let (whole, shape) = match (parts.next(), &self.item) {
            (Some("item"), Some(item)) => ("item".to_owned(), item),
            (Some("steps"), _) => match parts.next().and_then(|id| self.steps.get_key_value(id)) {
                Some((id, (_, shape))) => (format!("steps.{id}"), shape),
                None => return Ok(Shape::Any),
            },
            // As a whole, it also has the undeclared fields of the record.
            (Some("inputs"), _) if name != "inputs" => ("inputs".to_owned(), &self.inputs),
            _ => return Ok(Shape::Any),
        };
        match shape.follow(&whole, parts) {
            // A condition around has tested the field: nothing here runs without it.
            Err(wrong) if wrong.lacks.as_deref().is_some_and(|lacks| self.tested.asks(lacks)) => Ok(Shape::Any),
            other => other,
        }
    }

    /// Returns the scope within a step.
    pub(crate) fn within(&self, id: &Arc<str>) -> Self {
        let mut inside = self.clone();
        inside.around.push(id.clone());
        inside
    }
}

/// The names that a step uses, with their definitions, for its fingerprint.
#[derive(Default)]
pub(crate) struct Dependencies(RefCell<BTreeSet<String>>);

impl Dependencies {
    pub(super) fn add(&self, name: String) {
        self.0.borrow_mut().insert(name);
    }

    /// Returns all of them as one text, in a fixed order.
    pub(crate) fn into_text(self) -> String {
        self.0.into_inner().into_iter().collect::<Vec<_>>().join("\n")
    }
}
