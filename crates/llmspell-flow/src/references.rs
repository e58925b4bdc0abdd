//! The names in templates: where they lead, and which steps nobody names.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::inputs::Inputs;
use crate::template::Complaint;
use llmspell::suggest;

/// Every name that a template of the flow may use, and those that are used.
pub(crate) struct References<'a> {
    inputs: &'a Inputs,
    /// The ids of the steps, in order.
    ids: &'a [&'a str],
    used: RefCell<BTreeSet<String>>,
}

impl<'a> References<'a> {
    pub(crate) fn new(inputs: &'a Inputs, ids: &'a [&'a str]) -> Self {
        References { inputs, ids, used: RefCell::default() }
    }

    /// Notes that the step at `place` uses a name, and says what is wrong with that. The output of the flow stands
    /// behind the last step.
    pub(crate) fn check(&self, name: &str, place: usize) -> Option<Complaint> {
        let mut parts = name.split('.');
        let (root, next) = (parts.next()?, parts.next());
        match (root, next) {
            ("inputs" | "item", None) | ("item", Some("index")) => None,
            // Whoever takes `steps` as a whole takes every step.
            ("steps", None) => {
                self.used.borrow_mut().extend(self.ids.iter().map(|id| (*id).to_owned()));
                None
            }
            ("inputs", Some(field)) => self.input(field),
            ("steps", Some(id)) => {
                self.used.borrow_mut().insert(id.to_owned());
                self.step(id, place)
            }
            ("item", Some(field)) => {
                complaint(format!("`item` has no `{field}`"), "it has `index`, the place of the record from 0")
            }
            (root, _) => complaint(
                format!("`{root}` is not known"),
                "there are `inputs`, `steps` and `item`; text stands in quotes",
            ),
        }
    }

    fn input(&self, field: &str) -> Option<Complaint> {
        let known = self.inputs.names()?;
        if known.contains(&field) {
            return None;
        }
        let hint = suggest::hint(field, known.iter().copied(), "the declared inputs are");
        complaint(format!("the flow has no input `{field}`"), hint)
    }

    fn step(&self, id: &str, place: usize) -> Option<Complaint> {
        match self.ids.iter().position(|known| *known == id) {
            Some(step) if step < place => None,
            Some(step) if step == place => {
                complaint(format!("the step `{id}` refers to itself"), "a step sees the outputs of those before it")
            }
            Some(_) => complaint(
                format!("the step `{id}` runs later than this one"),
                "steps run in the order in which they are written: move it up",
            ),
            None if place == 0 => complaint(format!("there is no step `{id}`"), "the first step can use `inputs` only"),
            None => {
                let hint = suggest::hint(id, self.ids[..place].iter().copied(), "the steps before are");
                complaint(format!("there is no step `{id}`"), hint)
            }
        }
    }

    /// Whether a template uses the output of a step.
    pub(crate) fn uses(&self, id: &str) -> bool {
        self.used.borrow().contains(id)
    }
}

fn complaint(message: String, hint: impl Into<String>) -> Option<Complaint> {
    Some(Complaint { message, hint: hint.into() })
}
