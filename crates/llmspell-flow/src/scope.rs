//! A record on its way through a flow, and what the templates of a step can see of it.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, Serde};
use serde_json::{Map, Value};

use crate::journal::Memory;

/// The fields of a record and the outputs so far.
#[derive(Clone)]
pub(crate) struct Scope {
    view: View,
    /// The output of the last step, which may be that of the flow.
    last: Value,
    /// Of the record, if the run keeps a journal.
    #[allow(dead_code, reason = "the compiler of flows is about to use it")]
    memory: Option<Memory>,
}

/// What templates see: `inputs`, `steps` and `item`. Cheap to clone.
#[derive(Clone, Debug)]
struct View {
    inputs: minijinja::Value,
    outputs: Outputs,
    index: usize,
}

/// The outputs of the steps so far, in order.
#[derive(Clone, Debug, Default)]
struct Outputs(Arc<Vec<(Arc<str>, minijinja::Value)>>);

#[allow(dead_code, reason = "the compiler of flows is about to use the memory")]
impl Scope {
    /// A record that has passed no step yet; `index` is its place in the run.
    pub(crate) fn new(inputs: &Map<String, Value>, index: usize) -> Self {
        let view = View { inputs: minijinja::Value::from(Serde(inputs)), outputs: Outputs::default(), index };
        Scope { view, last: Value::Null, memory: None }
    }

    /// The same with the memory of the record.
    pub(crate) fn remembering(self, memory: Memory) -> Self {
        Scope { memory: Some(memory), ..self }
    }

    /// What the steps of the record gave before, and where they keep what they give.
    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// Adds the output of a step.
    pub(crate) fn with(mut self, step: &Arc<str>, output: Value) -> Self {
        let seen = (step.clone(), minijinja::Value::from(Serde(&output)));
        Arc::make_mut(&mut self.view.outputs.0).push(seen);
        self.last = output;
        self
    }

    /// As templates see it.
    pub(crate) fn value(&self) -> minijinja::Value {
        minijinja::Value::from_object(self.view.clone())
    }

    /// The output of the last step.
    pub(crate) fn into_last(self) -> Value {
        self.last
    }
}

impl Object for View {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        match key.as_str()? {
            "inputs" => Some(self.inputs.clone()),
            "steps" => Some(minijinja::Value::from_object(self.outputs.clone())),
            "item" => Some(minijinja::Value::from_pairs([("index", self.index)])),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["inputs", "steps", "item"])
    }
}

impl Object for Outputs {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        let key = key.as_str()?;
        self.0.iter().find(|(step, _)| **step == *key).map(|(_, output)| output.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(step, _)| minijinja::Value::from(step.clone())).collect())
    }
}
