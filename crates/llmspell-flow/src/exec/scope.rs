//! The scope of a record on its way through a flow: the values that templates can see.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, Serde};
use serde_json::{Map, Value};

use super::memo::Memo;

/// The fields of a record and the outputs so far. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Scope {
    view: View,
    /// The output of the last step, which may be that of the flow.
    last: Arc<Value>,
    /// The indexes of the items and rounds around the step, outermost first, such as `3.0`.
    item_path: Arc<str>,
    /// The memo of the record, if the results of its steps are kept.
    memo: Option<Arc<dyn Memo>>,
}

/// The values that templates see. Cheap to clone.
#[derive(Clone, Debug)]
struct View {
    inputs: minijinja::Value,
    outputs: Outputs,
    record: minijinja::Value,
    /// The item of a list, if the step is inside of one.
    item: Option<minijinja::Value>,
    /// The index of the item in its list, or of the round.
    index: Option<usize>,
    /// The output of the previous round.
    round: Option<minijinja::Value>,
    secrets: minijinja::Value,
}

/// The outputs of the steps so far, in order.
#[derive(Clone, Debug, Default)]
struct Outputs(Arc<Vec<(Arc<str>, minijinja::Value)>>);

impl Scope {
    /// Creates the scope of a record that has passed no step yet; `index` is its position in the run.
    pub(crate) fn new(inputs: &Map<String, Value>, index: usize, secrets: minijinja::Value) -> Self {
        let view = View {
            inputs: minijinja::Value::from(Serde(inputs)),
            outputs: Outputs::default(),
            record: minijinja::Value::from_pairs([("index", index)]),
            item: None,
            index: None,
            round: None,
            secrets,
        };
        Scope { view, last: Arc::default(), item_path: Arc::from(""), memo: None }
    }

    /// Returns the scope with the memo of the record.
    pub(crate) fn with_memo(self, memo: Arc<dyn Memo>) -> Self {
        Scope { memo: Some(memo), ..self }
    }

    /// Returns the memo of the record, which recalls and keeps the results of its steps.
    pub(crate) fn memo(&self) -> Option<&Arc<dyn Memo>> {
        self.memo.as_ref()
    }

    /// Adds the output of a step.
    pub(crate) fn with(mut self, step: &Arc<str>, output: Value) -> Self {
        let entry = (step.clone(), minijinja::Value::from(Serde(&output)));
        Arc::make_mut(&mut self.view.outputs.0).push(entry);
        self.last = Arc::new(output);
        self
    }

    /// Returns the scope for one item of a list.
    pub(crate) fn for_item(&self, item: &Value, index: usize) -> Self {
        let mut scope = self.at(index);
        scope.view.item = Some(minijinja::Value::from(Serde(item)));
        scope
    }

    /// Returns the scope for one round of a repetition, with the output of the previous one.
    pub(crate) fn for_round(&self, index: usize, last: &Value) -> Self {
        let mut scope = self.at(index);
        scope.view.round = Some(minijinja::Value::from(Serde(last)));
        scope
    }

    fn at(&self, index: usize) -> Self {
        let mut scope = self.clone();
        scope.view.index = Some(index);
        scope.item_path = match &*self.item_path {
            "" => Arc::from(index.to_string()),
            outer => Arc::from(format!("{outer}.{index}")),
        };
        scope
    }

    /// Returns the value that templates see.
    pub(crate) fn value(&self) -> minijinja::Value {
        minijinja::Value::from_object(self.view.clone())
    }

    /// Returns the indexes of the items and rounds around the step; empty for the record itself.
    pub(crate) fn item_path(&self) -> Arc<str> {
        self.item_path.clone()
    }

    /// Returns the output of the last step.
    pub(crate) fn into_last(self) -> Value {
        Arc::unwrap_or_clone(self.last)
    }
}

impl Object for View {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        match key.as_str()? {
            "inputs" => Some(self.inputs.clone()),
            "steps" => Some(minijinja::Value::from_object(self.outputs.clone())),
            "record" => Some(self.record.clone()),
            "item" => self.item.clone(),
            "index" => self.index.map(minijinja::Value::from),
            "last" => self.round.clone(),
            "secrets" => Some(self.secrets.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["inputs", "steps", "record"])
    }
}

impl Object for Outputs {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        let key = key.as_str()?;
        // The latest: in a repetition, a step has an output for each round.
        self.0.iter().rev().find(|(step, _)| **step == *key).map(|(_, output)| output.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(step, _)| minijinja::Value::from(step.clone())).collect())
    }
}
